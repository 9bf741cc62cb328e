_base_ = [
    './_base_/methods/los.py',
    './_base_/datasets/cifar100_lt.py',
    './_base_/schedules/los_10e.py',
    './_base_/runtime/default.py',
]
first_stage = 'ce_resnet32_cifar100_lt.py'
model = dict(
    backbone=_base_.resnet32,
    head=dict(num_classes=100, in_channels=64),
)
