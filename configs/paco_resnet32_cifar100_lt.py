_base_ = [
    './_base_/methods/paco.py',
    './_base_/datasets/cifar100_lt.py',
    './_base_/schedules/cifar_lt_200e.py',
    './_base_/runtime/default.py',
]
model = dict(
    backbone=_base_.resnet32,
    head=dict(
        num_classes=100,
        in_channels=64,
        branches=dict(
            paco=dict(alpha=0.01, temperature=0.05, out_channels=32)
        ),
    ),
)
train_dataloader = dict(
    dataset=dict(dataset=dict(pipeline=_base_.three_views))
)
