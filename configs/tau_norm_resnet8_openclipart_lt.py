_base_ = [
    './_base_/methods/tau_norm.py',
    './_base_/datasets/openclipart_lt.py',
    './_base_/schedules/openclipart_lt.py',
    './_base_/runtime/default.py',
]
first_stage = 'ce_linear_resnet8_openclipart_lt.py'
model = dict(
    backbone=_base_.resnet8,
    head=dict(num_classes=50, in_channels=64),
)
