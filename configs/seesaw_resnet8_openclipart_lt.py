_base_ = [
    './_base_/methods/seesaw.py',
    './_base_/datasets/openclipart_lt.py',
    './_base_/schedules/openclipart_lt.py',
    './_base_/runtime/default.py',
]
model = dict(
    backbone=_base_.resnet8,
    head=dict(
        num_classes=50,
        in_channels=64,
        scale=16.0,
        loss_cls=dict(num_classes=50),
    ),
)
