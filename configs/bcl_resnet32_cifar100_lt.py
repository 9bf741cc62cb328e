# CIFAR-100-LT, imbalance factor 100, 200 epochs. The weights of the losses
# and the projector are known from third parties, not from the paper's code.
_base_ = [
    './_base_/methods/bcl.py',
    './_base_/datasets/cifar100_lt.py',
    './_base_/schedules/cifar_lt_200e.py',
    './_base_/runtime/default.py',
]
model = dict(
    backbone=_base_.resnet32,
    head=dict(
        num_classes=100,
        in_channels=64,
        classifier='linear',
        cls_weight=2.0,
        con_weight=0.6,
    ),
)
train_dataloader = dict(
    dataset=dict(dataset=dict(pipeline=_base_.three_views))
)
