# The paper trains with another schedule and other views: see docs/methods.md.
_base_ = [
    './_base_/methods/proco.py',
    './_base_/datasets/cifar100_lt.py',
    './_base_/schedules/cifar_lt_200e.py',
    './_base_/runtime/default.py',
]
model = dict(
    backbone=_base_.resnet32,
    head=dict(num_classes=100, in_channels=64, classifier='linear'),
)
train_dataloader = dict(
    dataset=dict(dataset=dict(pipeline=_base_.three_views))
)
