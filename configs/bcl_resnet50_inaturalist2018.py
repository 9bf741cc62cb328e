# 8 GPUs of 32 images.
_base_ = [
    './_base_/methods/bcl.py',
    './_base_/datasets/inaturalist2018.py',
    './_base_/schedules/inaturalist2018_100e.py',
    './_base_/runtime/large_images.py',
]
model = dict(
    backbone=_base_.resnet50,
    head=dict(
        num_classes=8142,
        in_channels=2048,
        hidden_channels=2048,
        out_channels=1024,
        loss_con=dict(temperature=0.07),
    ),
)
train_dataloader = dict(dataset=dict(pipeline=_base_.three_views))
