# Any data set of one folder per class: data_root/train/CLASS/... and
# data_root/val/CLASS/..., unbalanced as it is. Views and normalisation as for
# ImageNet-LT.
_base_ = './imagenet_lt.py'
data_hint = (
    'It is a folder with train/ and val/, and in them a folder of images for '
    'each class. Another folder: --cfg-options data_root=PATH'
)
data_root = 'data/folder'
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmpretrain.CustomDataset',
        data_root=data_root,
        data_prefix='train',
        pipeline=_base_.one_view,
    )
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmpretrain.CustomDataset',
        data_root=data_root,
        data_prefix='val',
        test_mode=True,
        pipeline=_base_.test_view,
    )
)
test_dataloader = val_dataloader
