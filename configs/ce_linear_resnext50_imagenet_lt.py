# The first stage of cRT and LWS.
_base_ = [
    './_base_/methods/ce.py',
    './_base_/datasets/imagenet_lt.py',
    './_base_/schedules/imagenet_lt_90e.py',
    './_base_/runtime/large_images.py',
]
method_name = 'cross-entropy, linear classifier'
model = dict(
    backbone=_base_.resnext50,
    head=dict(num_classes=1000, in_channels=2048, classifier='linear'),
)
