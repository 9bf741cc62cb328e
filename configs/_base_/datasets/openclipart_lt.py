# OpenClipart-LT: coloured drawings of 50 classes with a natural long tail
# (some 2,370 training images, 315 to 9 a class), in five folds by author:
# --cfg-options data_root=data/openclipart_lt/fold_1.csv. The validation part
# is the same in all folds, and none of them tests it.
data_hint = 'Make it with: bcl-mm prepare openclipart'
data_root = 'data/openclipart_lt/fold_0.csv'
drawings = dict(
    type='bcl_mm.CustomImages', data_root=data_root, split_column='part'
)
data_preprocessor = dict(
    type='bcl_mm.MultiViewDataPreprocessor',
    mean=[218.3, 213.0, 205.8],
    std=[68.2, 71.1, 81.1],
    to_rgb=True,
)

load_image = dict(type='LoadImageFromFile', _scope_='bcl_mm')
# Drawings are square already: this is for images in a prediction.
resize = dict(
    type='mmpretrain.Resize',
    scale=(32, 32),
    backend='pillow',  # antialiased
    interpolation='bilinear',
)
classification_view = [
    dict(type='mmpretrain.RandomCrop', crop_size=32, padding=4, pad_val=255),
    dict(type='bcl_mm.RandomFlip', prob=0.5),
]
contrastive_view = [
    dict(type='bcl_mm.RandomResizedCrop', size=32, scale=(0.3, 1.0)),
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
one_view = [load_image, *classification_view, dict(type='bcl_mm.PackInputs')]
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

# Images so small that workers would cost more than they bring.
train_dataloader = dict(
    batch_size=128,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(**drawings, split='train', pipeline=one_view),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(**drawings, split='val', test_mode=True, pipeline=test_view),
)
val_evaluator = dict(type='bcl_mm.ShotAccuracy')
test_dataloader = dict(
    batch_size=256,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(**drawings, split='test', test_mode=True, pipeline=test_view),
)
test_evaluator = val_evaluator
del drawings  # a setting of it would reach no data set

# The backbone of every method on these small images, for the leaves.
resnet8 = dict(
    type='bcl_mm.CIFARResNet',
    depth=8,
    stem_stride=2,
    shortcut='projection',
    init_cfg=None,  # torch's own, which suits so shallow a net
)
