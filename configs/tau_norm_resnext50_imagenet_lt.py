_base_ = [
    './_base_/methods/tau_norm.py',
    './_base_/datasets/imagenet_lt.py',
    './_base_/schedules/imagenet_lt_90e.py',
    './_base_/runtime/large_images.py',
]
first_stage = 'ce_linear_resnext50_imagenet_lt.py'
model = dict(
    backbone=_base_.resnext50,
    head=dict(num_classes=1000, in_channels=2048),
)
