# Your own data set, at 32x32 pixels.
_base_ = [
    './_base_/methods/ce.py',
    './_base_/datasets/folder_small.py',
    './_base_/schedules/custom_100e.py',
    './_base_/runtime/own_data.py',
]
model = dict(
    backbone=_base_.resnet32,
    head=dict(num_classes='from_data', in_channels=64, scale=16.0),
)
train_dataloader = dict(batch_size=64)
