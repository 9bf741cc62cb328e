_base_ = [
    './_base_/methods/mislas.py',
    './_base_/datasets/cifar100_lt.py',
    './_base_/schedules/crt_10e.py',
    './_base_/runtime/default.py',
]
first_stage = 'ce_resnet32_cifar100_lt.py'
model = dict(
    backbone=_base_.resnet32,
    head=dict(
        num_classes=100, in_channels=64, loss_cls=dict(head=0.4, tail=0.1)
    ),
)
train_dataloader = dict(
    sampler=dict(_delete_=True, type='bcl_mm.ClassBalancedSampler')
)
