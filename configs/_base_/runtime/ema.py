# default.py with a moving average of the weights, which validation, testing
# and checkpoints use.
_base_ = './default.py'
default_hooks = dict(
    ema=dict(
        type='mmengine.EMAHook',
        ema_type='bcl_mm.ExponentialMovingAverage',
        momentum=0.001,
        update_buffers=True,
    )
)
