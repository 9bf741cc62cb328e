_base_ = [
    './_base_/methods/los.py',
    './_base_/datasets/fashion_mnist_lt.py',
    './_base_/schedules/los_10e.py',
    './_base_/runtime/default.py',
]
first_stage = 'ce_linear_resnet8_fashion_mnist_lt.py'
model = dict(
    backbone=_base_.resnet8,
    head=dict(num_classes=10, in_channels=64),
)
