# CIFAR-10-LT, imbalance factor 100, 400 epochs. The weights of the losses
# and the projector are known from third parties, not from the paper's code.
_base_ = [
    './_base_/methods/bcl.py',
    './_base_/datasets/cifar10_lt.py',
    './_base_/schedules/cifar_lt_400e.py',
    './_base_/runtime/default.py',
]
model = dict(
    backbone=_base_.resnet32,
    head=dict(
        num_classes=10,
        in_channels=64,
        classifier='linear',
        cls_weight=2.0,
        con_weight=0.6,
    ),
)
train_dataloader = dict(
    dataset=dict(dataset=dict(pipeline=_base_.three_views))
)
