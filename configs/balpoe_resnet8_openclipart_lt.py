_base_ = [
    './_base_/methods/balpoe.py',
    './_base_/datasets/openclipart_lt.py',
    './_base_/schedules/openclipart_lt.py',
    './_base_/runtime/default.py',
]
model = dict(
    backbone=dict(
        type='bcl_mm.SharedTrunk',
        backbone=_base_.resnet8,
        stage='blocks',
        first=-1,
    ),
    head=dict(num_classes=50, in_channels=3 * 64, scale=16.0),
)
