_base_ = [
    './_base_/methods/gpaco.py',
    './_base_/datasets/fashion_mnist_lt.py',
    './_base_/schedules/fashion_mnist_lt.py',
    './_base_/runtime/default.py',
]
model = dict(
    backbone=_base_.resnet8,
    head=dict(num_classes=10, in_channels=64, scale=16.0),
)
# As on CIFAR-100-LT, with alpha for a tenth of its classes: an anchor has ten
# times as many positives.
model['head']['branches'] = dict(
    paco=dict(
        alpha=0.001, temperature=0.05, hidden_channels=128, out_channels=64
    )
)
train_dataloader = dict(
    dataset=dict(dataset=dict(pipeline=_base_.three_views))
)
