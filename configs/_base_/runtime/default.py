# What every experiment shares: hooks, logging, processes, seed.
default_scope = 'mmpretrain'
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    # Often enough that the first line, with its eta, comes soon.
    logger=dict(type='LoggerHook', interval=20),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # mmengine's, but whole after a kill or on a full disk. Two are kept, for
    # the case that the newer one is damaged later.
    checkpoint=dict(
        type='bcl_mm.SafeCheckpointHook', interval=1, max_keep_ckpts=2
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='mmpretrain.VisualizationHook', enable=False),
    # Counts the classes, for the losses and metrics of every method.
    class_complement=dict(type='bcl_mm.ClassComplementHook'),
    # One set of batch norm's statistics for all processes.
    average_statistics=dict(type='bcl_mm.AverageStatisticsHook'),
    # A NaN loss ends training before it reaches the weights.
    finite_loss=dict(type='bcl_mm.FiniteLossHook'),
    # 'skip' leaves out training images that cannot be loaded, and lists them.
    corrupt_images=dict(type='bcl_mm.CorruptImageHook', on_corrupt='error'),
    # The same draws for any number of workers, and after a resumption.
    sample_seed=dict(type='bcl_mm.SampleSeedHook'),
    # WORK_DIR/views.png: what the model is fed, to be looked at.
    view_grid=dict(type='bcl_mm.ViewGridHook', num_images=8),
)
# Beside MMEngine's own, the classes of a batch as a mean of 10 iterations.
log_processor = dict(mean_pattern=r'.*(loss|time|grad_norm|batch_).*')
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
visualizer = dict(
    type='mmpretrain.UniversalVisualizer',
    vis_backends=[dict(type='LocalVisBackend')],
)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
