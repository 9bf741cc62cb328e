# Your own images, as in folder.py, at 32x32 pixels: small images, or a
# first try without a GPU.
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
data_preprocessor = dict(
    type='bcl_mm.MultiViewDataPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)

# bcl_mm's, by the bare name that mmpretrain's inferencer looks for.
load_image = dict(type='LoadImageFromFile', _scope_='bcl_mm')
resize = dict(
    type='mmpretrain.Resize',
    scale=(32, 32),
    backend='pillow',  # antialiased
    interpolation='bilinear',
)
classification_view = [
    resize,
    dict(type='mmpretrain.RandomCrop', crop_size=32, padding=4),
    dict(type='bcl_mm.RandomFlip', prob=0.5),
]
contrastive_view = [
    dict(type='bcl_mm.RandomResizedCrop', size=32, scale=(0.2, 1.0)),
    dict(type='bcl_mm.RandomFlip', prob=0.5),
    dict(
        type='bcl_mm.ColorJitter',
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        hue=0.1,
        prob=0.8,
    ),
    dict(type='bcl_mm.RandomGrayscale', prob=0.2),
]
one_view = [
    load_image,
    *classification_view,
    dict(type='bcl_mm.PackInputs'),
]
three_views = [
    load_image,
    dict(
        type='mmpretrain.MultiView',
        num_views=[1, 2],
        transforms=[classification_view, contrastive_view],
    ),
    dict(type='bcl_mm.PackInputs'),
]
test_view = [load_image, resize, dict(type='mmpretrain.PackInputs')]

train_dataloader = dict(
    batch_size=128,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        **own_images,
        split='train',
        pipeline=one_view,
    ),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        **own_images,
        split='val',
        test_mode=True,
        pipeline=test_view,
    ),
)
val_evaluator = dict(type='bcl_mm.ShotAccuracy')
# Where there is a test part: test_dataloader.dataset.split=test.
test_dataloader = val_dataloader
del own_images  # a setting of it would reach no data set
test_evaluator = val_evaluator

# The backbone of every method on images of this size, for the leaves.
resnet32 = dict(type='bcl_mm.CIFARResNet', depth=32)
