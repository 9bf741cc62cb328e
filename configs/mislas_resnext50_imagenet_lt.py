_base_ = [
    './_base_/methods/mislas.py',
    './_base_/datasets/imagenet_lt.py',
    './_base_/schedules/crt_10e.py',
    './_base_/runtime/large_images.py',
]
first_stage = 'ce_linear_resnext50_imagenet_lt.py'
model = dict(
    backbone=_base_.resnext50,
    head=dict(num_classes=1000, in_channels=2048),
)
train_dataloader = dict(
    sampler=dict(_delete_=True, type='bcl_mm.ClassBalancedSampler')
)
