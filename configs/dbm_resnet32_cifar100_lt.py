_base_ = [
    './_base_/methods/dbm.py',
    './_base_/datasets/cifar100_lt.py',
    './_base_/schedules/cifar_lt_200e.py',
    './_base_/runtime/default.py',
]
model = dict(
    backbone=_base_.resnet32,
    head=dict(num_classes=100, in_channels=64),
)
