_base_ = [
    './_base_/methods/bcl_no_averaging.py',
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
        hidden_channels=256,
        out_channels=128,
    ),
)
train_dataloader = dict(dataset=dict(pipeline=_base_.three_views))
