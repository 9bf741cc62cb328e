# 400 epochs: 10 of warm-up, then a tenth of the rate from epochs 360 and 380.
# Known from third parties.
_base_ = './bcl_resnet32_cifar10_lt.py'
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=True, end=10),
    dict(type='MultiStepLR', milestones=[360, 380], gamma=0.1, by_epoch=True),
]
train_cfg = dict(max_epochs=400)
