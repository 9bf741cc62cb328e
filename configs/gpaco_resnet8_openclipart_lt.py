_base_ = [
    './_base_/methods/gpaco.py',
    './_base_/datasets/openclipart_lt.py',
    './_base_/schedules/openclipart_lt.py',
    './_base_/runtime/default.py',
]
model = dict(
    backbone=_base_.resnet8,
    head=dict(num_classes=50, in_channels=64, scale=16.0),
)
# As on CIFAR-100-LT, with alpha for half of its classes: an anchor has twice
# as many positives.
model['head']['branches'] = dict(
    paco=dict(
        alpha=0.005, temperature=0.05, hidden_channels=256, out_channels=128
    )
)
train_dataloader = dict(dataset=dict(pipeline=_base_.three_views))
