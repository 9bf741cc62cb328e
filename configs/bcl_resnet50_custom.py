# Your own data set (docs/own_data.md).
_base_ = [
    './_base_/methods/bcl.py',
    './_base_/datasets/folder.py',
    './_base_/schedules/custom_100e.py',
    './_base_/runtime/own_large_images.py',
]
model = dict(
    backbone=_base_.resnet50,
    head=dict(
        num_classes='from_data',
        in_channels=2048,
        hidden_channels=2048,
        out_channels=1024,
        loss_con=dict(temperature=0.07),
    ),
)
train_dataloader = dict(
    batch_size=64, dataset=dict(pipeline=_base_.three_views)
)
