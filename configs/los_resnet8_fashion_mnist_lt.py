_base_ = [
    './_base_/methods/los.py',
    './_base_/datasets/fashion_mnist_lt.py',
    './_base_/schedules/crt_10e.py',
    './_base_/runtime/default.py',
]
first_stage = 'ce_linear_resnet8_fashion_mnist_lt.py'
model = dict(
    backbone=_base_.resnet8,
    head=dict(num_classes=10, in_channels=64),
)
# The authors' rate. With cRT's, the classifier loses what it has learnt.
optim_wrapper = dict(optimizer=dict(lr=0.0005, weight_decay=0.0))
