# CIFAR-10-LT (LDAM-DRW's subset), imbalance factor 100: 12,406 images. The
# views are those of CIFAR-100-LT. (Several sources normalise both data sets
# by CIFAR-10's mean and deviation.)
_base_ = './cifar100_lt.py'
data_hint = (
    'torchvision downloads it: python -c "import torchvision; '
    "torchvision.datasets.CIFAR10('data/cifar10', download=True)\""
)
data_root = 'data/cifar10'
data_preprocessor = dict(
    mean=[125.307, 122.950, 113.865], std=[62.993, 62.089, 66.705]
)
train_dataloader = dict(
    dataset=dict(dataset=dict(type='mmpretrain.CIFAR10', data_root=data_root))
)
val_dataloader = dict(
    dataset=dict(type='mmpretrain.CIFAR10', data_root=data_root)
)
test_dataloader = val_dataloader
