"""What training refuses to resume from, or to start from."""

import pytest
import torch

from bcl_mm.engine.resume import obstacle_to_resume
from bcl_mm.utils.errors import InputValueError
from tests.engine.hooks.common import DIGITS, INFO_HOOKS, make

SCHEDULE = dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=20)


def prepare(folder, epochs=2, **options):
    settings = dict(
        default_hooks=dict(
            **INFO_HOOKS, checkpoint=dict(type='bcl_mm.SafeCheckpointHook')
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        val_cfg=None,
        val_dataloader=None,
        val_evaluator=None,
        param_scheduler=[SCHEDULE],
        log_level='CRITICAL',
    )
    return make(folder, **{**settings, **options})


@pytest.fixture(scope='module')
def content(tmp_path_factory):
    folder = tmp_path_factory.mktemp('trained')
    prepare(folder, 1).train()
    return torch.load(folder / 'epoch_1.pth')


@pytest.fixture
def resume(content, tmp_path):
    def resume_from(changes, **options):
        path = tmp_path / 'a.pth'
        changed = {k: v for k, v in {**content, **changes}.items() if v != {}}
        torch.save(changed, path)
        options.setdefault('resume', True)
        prepare(tmp_path, load_from=str(path), **options).train()

    return resume_from


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(param_schedulers={}), 'has no param_schedulers: the schedules'),
        (dict(param_schedulers=[]), 'has no param_schedulers: the schedules'),
        (dict(param_schedulers=[dict(a=1)]), 'have none of LinearLR'),
        (dict(param_schedulers=[{}, {}]), 'not those of the config, which ha'),
        (dict(optimizer=dict(a=1)), 'optimizer is of other parameters'),
        (
            dict(optimizer=dict(state=dict(a=1), param_groups=[dict(lr=1)])),
            'optimizer is of other parameters',
        ),
    ],
)
def test_what_is_missing_is_named(resume, changes, message):
    """MMEngine would begin the warm-up anew, and momentum."""
    with pytest.raises(InputValueError, match=message):
        resume(changes)


def test_another_optimizer_is_an_error(resume):
    adam = dict(optimizer=dict(type='Adam', lr=0.01))
    with pytest.raises(InputValueError, match='has no betas, eps, which Adam'):
        resume({}, optim_wrapper=adam)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            dict(optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.5))),
            'lr of SGD is 0.01 in it, and 0.5 in the config. Training resumes',
        ),
        (
            dict(
                optim_wrapper=dict(
                    optimizer=dict(type='SGD', lr=0.01, weight_decay=0.1)
                )
            ),
            'weight_decay of SGD is 0.* in it, and 0.1 in the config',
        ),
        (
            dict(param_scheduler=[dict(SCHEDULE, end=10)], epochs=1),
            'end of LinearLR is 20 in it, and 10 in the config',
        ),
        (dict(randomness=dict(seed=5)), 'its seed is 0, and randomness.seed'),
    ],
)
def test_settings_that_would_be_ignored_are_errors(resume, options, message):
    with pytest.raises(InputValueError, match=message):
        resume({}, **options)


def test_training_may_be_extended(content, tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(content, path)
    assert content['message_hub']['runtime_info']['max_epochs'] == 1
    runner = prepare(
        tmp_path,
        epochs=3,
        resume=True,
        load_from=str(path),
        param_scheduler=[dict(SCHEDULE, end=30)],
    )
    warnings = []
    runner.logger.warning = warnings.append
    runner.train()
    assert runner.epoch == 3
    assert any('max_epochs was 1' in str(warning) for warning in warnings)


@pytest.mark.long
def test_adam_is_not_adamw(resume, tmp_path):
    # Their states have the same names.
    adam, adamw = (
        dict(optimizer=dict(type=name, lr=0.01)) for name in ('Adam', 'AdamW')
    )
    folder = tmp_path / 'adam'
    prepare(folder, 1, optim_wrapper=adam).train()
    content = torch.load(folder / 'epoch_1.pth')
    group = content['optimizer']['param_groups'][0]
    if 'decoupled_weight_decay' not in group:
        pytest.skip('this torch does not record the difference')
    with pytest.raises(
        InputValueError,
        match='decoupled_weight_decay of AdamW is F',
    ):
        resume(content, optim_wrapper=adamw)
    resume(content, optim_wrapper=adam)


@pytest.mark.long
def test_weights_that_do_not_fit_are_not_left_out(resume, content):
    state = dict(content['state_dict'])
    for name in ('head.classifier.weight', 'backbone.stem.0.weight'):
        changed = dict(
            state_dict={k: v for k, v in state.items() if k != name}
        )
        with pytest.raises(InputValueError, match=f'{name} is missing'):
            resume(changed)
    # Only another head may start a new training.
    with pytest.raises(InputValueError, match='stem.0.weight is missing'):
        resume(changed, resume=False)
    del state['head.classifier.weight']
    resume(dict(state_dict=state), resume=False, epochs=1)


def test_epochs_of_another_length_need_an_option(resume):
    train = dict(DIGITS)
    loader = dict(
        batch_size=50,
        num_workers=0,
        dataset=train,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
    )
    message = 'an epoch has 7 iterations, but in the checkpoint 1 had 4: .*all'
    with pytest.raises(InputValueError, match=message):
        resume({}, train_dataloader=loader)


def test_other_images_of_the_same_counts_need_an_option(resume):
    train = dict(DIGITS, seed=3)
    message = 'training images are not those of the checkpoint.*--allow-cha'
    with pytest.raises(InputValueError, match=message):
        resume({}, train=train)
    hooks = dict(
        INFO_HOOKS,
        class_info=dict(type='bcl_mm.ClassInfoHook', allow_changed_data=True),
    )
    resume({}, train=train, default_hooks=hooks)


def test_other_data_are_allowed_by_an_option(resume):
    hooks = dict(
        INFO_HOOKS,
        class_info=dict(type='bcl_mm.ClassInfoHook', allow_changed_data=True),
    )
    resume({}, train=dict(DIGITS, max_per_class=60), default_hooks=hooks)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(optimizer=None), 'its optimizer must be a dict, got NoneType'),
        (dict(message_hub=[]), 'its message_hub must be a dict, got list'),
        (dict(meta=dict(iter=1)), 'its meta has no epoch'),
        (dict(meta=dict(epoch=1, iter=1, config='x')), 'is Python code'),
        (dict(message_hub=dict(log_scalars={})), 'has no runtime_info, resum'),
    ],
)
def test_obstacles_are_named(changes, message):
    parts = 'log_scalars', 'runtime_info', 'resumed_keys'
    content = dict(
        meta=dict(epoch=1, iter=1),
        state_dict={},
        optimizer=dict(a=1),
        message_hub={part: {} for part in parts},
    )
    assert obstacle_to_resume(content) is None
    assert message in obstacle_to_resume({**content, **changes})
