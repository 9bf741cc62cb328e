"""Short trainings that write checkpoints."""

from tests.engine.hooks.common import INFO_HOOKS, make


def runner(work_dir, epochs=3, checkpoint=None, hooks=None, **options):
    hook = dict(type='bcl_mm.SafeCheckpointHook', interval=1)
    return make(
        work_dir,
        default_hooks=dict(
            logger=dict(type='LoggerHook'),
            **INFO_HOOKS,
            sample_seed=dict(type='bcl_mm.SampleSeedHook'),
            checkpoint=dict(hook, **(checkpoint or {})),
            **(hooks or {}),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        **options,
    )


def names(folder):
    return sorted(path.name for path in folder.glob('*.p[at][rh]*'))
