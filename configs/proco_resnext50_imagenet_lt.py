_base_ = [
    './_base_/methods/proco.py',
    './_base_/datasets/imagenet_lt.py',
    './_base_/schedules/imagenet_lt_90e.py',
    './_base_/runtime/large_images.py',
]
model = dict(
    backbone=_base_.resnext50,
    head=dict(
        num_classes=1000,
        in_channels=2048,
        branches=dict(
            proco=dict(
                temperature=0.07, hidden_channels=2048, out_channels=1024
            ),
        ),
    ),
)
train_dataloader = dict(dataset=dict(pipeline=_base_.three_views))
