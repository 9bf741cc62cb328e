# default.py, and the moving average of the weights (mmengine's hook), which
# validation, testing and checkpoints take.
_base_ = './default.py'
custom_hooks = [
    dict(
        type='mmengine.EMAHook',
        ema_type='ExponentialMovingAverage',
        momentum=0.001,
        update_buffers=True,
    )
]
