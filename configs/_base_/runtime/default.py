# Hooks, logging, processes and seed of every experiment.
default_scope = 'mmpretrain'
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    # Often enough that the first line, with its eta, comes soon.
    logger=dict(type='LoggerHook', interval=20),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # MMEngine's, but complete after a kill or on a full disk. Two are kept,
    # in case the newer one is damaged later.
    checkpoint=dict(
        type='bcl_mm.SafeCheckpointHook', interval=1, max_keep_ckpts=2
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='mmpretrain.VisualizationHook', enable=False),
    # Counts the classes, for the losses and metrics of every method.
    class_info=dict(type='bcl_mm.ClassInfoHook'),
    # Tells losses and branches how far training is.
    progress=dict(type='bcl_mm.ProgressHook'),
    # Hands the model to the metrics that examine it.
    metric_model=dict(type='bcl_mm.MetricModelHook'),
    # A checkpoint of another model is not tested.
    checkpoint_fit=dict(type='bcl_mm.CheckpointFitHook'),
    # The same batch norm statistics on all processes.
    average_statistics=dict(type='bcl_mm.AverageStatisticsHook'),
    # A NaN loss ends training before it reaches the weights.
    finite_loss=dict(type='bcl_mm.FiniteLossHook'),
    # 'skip' leaves out and lists training images that cannot be loaded.
    corrupt_images=dict(type='bcl_mm.CorruptImageHook', on_corrupt='error'),
    # The same draws for any number of workers, also after resuming.
    sample_seed=dict(type='bcl_mm.SampleSeedHook'),
    # CPU or GPU time of each epoch, for comparisons and reports.
    cost=dict(type='bcl_mm.CostHook'),
    # WORK_DIR/config.json, which a report reads without running code.
    run_config=dict(type='bcl_mm.RunConfigHook'),
    # WORK_DIR/views.png shows what the model is fed.
    view_grid=dict(type='bcl_mm.ViewGridHook', num_images=8),
)
# Beside MMEngine's own, the classes of a batch as a mean of 10 iterations.
log_processor = dict(mean_pattern=r'.*(loss|time|grad_norm|batch_).*')
# On a GPU (docs/gpu.md): 'tf32' multiplies float32 numbers faster and less
# exactly, 'float32' exactly; None is torch's own choice.
precision = None
# Whether images and convolutions are stored with their channels last.
channels_last = False
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
