_base_ = [
    './_base_/methods/balpoe.py',
    './_base_/datasets/cifar100_lt.py',
    './_base_/schedules/cifar_lt_200e.py',
    './_base_/runtime/default.py',
]
model = dict(
    backbone=dict(
        type='bcl_mm.SharedTrunk',
        backbone=_base_.resnet32,
        stage='blocks',
        first=-5,
    ),
    head=dict(num_classes=100, in_channels=3 * 64, classifier='linear'),
)
