# The first stage of cRT and tau-normalisation.
_base_ = [
    './_base_/methods/ce.py',
    './_base_/datasets/openclipart_lt.py',
    './_base_/schedules/openclipart_lt.py',
    './_base_/runtime/default.py',
]
method_name = 'cross-entropy, linear classifier'
model = dict(
    backbone=_base_.resnet8,
    head=dict(num_classes=50, in_channels=64, classifier='linear'),
)
