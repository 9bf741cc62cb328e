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
# CSV lists: what paths are relative to, and the names of the columns.
data_prefix = ''
path_column = None
label_column = None
split_column = None
# Images that stay together: at most one of these.
group_column = None
group_regex = None
group_by_folder = False
# Classes that are left out.
min_images = 0
ignore_classes = []
exclude = None  # images that are left out: bcl-mm check --fix-list
# The split, without val/.
val_fraction = 0.2
split_seed = 0
own_images = dict(
    type='bcl_mm.CustomImages',
    data_root=data_root,
    data_prefix=data_prefix,
    path_column=path_column,
    label_column=label_column,
    split_column=split_column,
    group_column=group_column,
    group_regex=group_regex,
    group_by_folder=group_by_folder,
    min_images=min_images,
    ignore_classes=ignore_classes,
    exclude=exclude,
    val_fraction=val_fraction,
    split_seed=split_seed,
)
# photos, symbols (no flips), medical or satellite (docs/own_data.md).
augmentation = 'photos'
# A file, http(s)://..., torchvision://NAME or timm://NAME.
pretrained = None
train_dataloader = dict(
    num_workers=4,
    dataset=dict(
        _delete_=True,
        **own_images,
        split='train',
        pipeline=_base_.one_view,
    ),
)
val_dataloader = dict(
    num_workers=2,
    dataset=dict(
        _delete_=True,
        **own_images,
        split='val',
        test_mode=True,
        pipeline=_base_.test_view,
    ),
)
# Where there is a test part: test_dataloader.dataset.split=test.
test_dataloader = val_dataloader
del own_images  # a setting of it would reach no data set
