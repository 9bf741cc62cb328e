# Your own images, unbalanced as they are: a folder per class, in
# train/ and val/ or in one tree, or CSV lists (docs/own_data.md). Views and
# normalisation as for ImageNet-LT.
_base_ = './imagenet_lt.py'
data_hint = (
    'It is a folder with a folder of images for each class, or with train/ '
    'and val/ which hold these, or CSV lists (docs/own_data.md): give it with '
    '--cfg-options data_root=PATH'
)
data_root = 'data/folder'
data_prefix = ''  # what the paths of CSV lists are relative to
val_fraction = 0.2  # without val/
split_seed = 0
# photos, symbols (no flips), medical or satellite (docs/own_data.md).
augmentation = 'photos'
# A file, http(s)://..., torchvision://NAME or timm://NAME.
pretrained = None
train_dataloader = dict(
    num_workers=4,
    dataset=dict(
        _delete_=True,
        type='bcl_mm.CustomImages',
        data_root=data_root,
        split='train',
        val_fraction=val_fraction,
        split_seed=split_seed,
        data_prefix=data_prefix,
        pipeline=_base_.one_view,
    ),
)
val_dataloader = dict(
    num_workers=2,
    dataset=dict(
        _delete_=True,
        type='bcl_mm.CustomImages',
        data_root=data_root,
        split='val',
        val_fraction=val_fraction,
        split_seed=split_seed,
        data_prefix=data_prefix,
        test_mode=True,
        pipeline=_base_.test_view,
    ),
)
# Where there is a test part: test_dataloader.dataset.split=test.
test_dataloader = val_dataloader
