# ImageNet-LT (Liu et al., CVPR 2019): 1000 classes, 115,846 training images
# (1280 to 5 a class), 20,000 for validation, 50,000 for testing. The
# validation list is cut from ImageNet's training images; published figures
# are on the test list.
data_hint = (
    "It is ImageNet's folder (train/ and val/ of ILSVRC 2012, image-net.org) "
    'with ImageNet_LT_{train,val,test}.txt in it (linked by the project '
    'OpenLongTailRecognition). Another folder: --cfg-options data_root=PATH'
)
data_root = 'data/imagenet'
data_preprocessor = dict(
    type='bcl_mm.MultiViewDataPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)

# RandAugment "n=2 m=10 std 0.5" of the reference: timm's non-increasing
# operations, two of 15 drawn with replacement, each applied with probability
# 0.5. Each stands here twice, as geometry is bilinear or bicubic at random.
fill = [104, 116, 124]  # ImageNet's mean, BGR as images are loaded
enhance = dict(magnitude_range=(-0.9, 0.9), random_negative_prob=0.0)
colours = [
    dict(type='bcl_mm.AutoContrast'),
    dict(type='bcl_mm.Equalize'),
    dict(type='bcl_mm.Invert'),
    # timm keeps the integer part of 4 x level / 10 bits, mmpretrain rounds
    # up: just below, but for the full 4 bits of level 10.
    dict(type='bcl_mm.Posterize', magnitude_range=(-0.9999, 3.0001)),
    dict(type='bcl_mm.Solarize', magnitude_range=(0, 256)),
    dict(type='bcl_mm.SolarizeAdd', magnitude_range=(0, 110)),
    dict(type='bcl_mm.ColorTransform', **enhance),
    dict(type='bcl_mm.Contrast', **enhance),
    dict(type='bcl_mm.Brightness', **enhance),
    dict(type='mmpretrain.Sharpness', **enhance),
]
geometry = [
    dict(type='mmpretrain.Rotate', magnitude_range=(0, 30)),
    dict(
        type='mmpretrain.Shear',
        magnitude_range=(0, 0.3),
        direction='horizontal',
    ),
    dict(
        type='mmpretrain.Shear', magnitude_range=(0, 0.3), direction='vertical'
    ),
    dict(
        type='mmpretrain.Translate',
        magnitude_range=(0, 0.45),
        direction='horizontal',
    ),
    dict(
        type='mmpretrain.Translate',
        magnitude_range=(0, 0.45),
        direction='vertical',
    ),
]
rand_augment = dict(
    type='bcl_mm.RandAugment',
    policies=[
        *colours,
        *colours,
        *[dict(op, interpolation='bilinear', pad_val=fill) for op in geometry],
        *[dict(op, interpolation='bicubic', pad_val=fill) for op in geometry],
    ],
    num_policies=2,
    magnitude_level=10,
    magnitude_std=0.5,
    total_level=10,
)

crop_and_flip = [
    dict(type='bcl_mm.RandomResizedCrop', size=224, scale=(0.08, 1.0)),
    dict(type='bcl_mm.RandomFlip', prob=0.5),
]
classification_view = [
    *crop_and_flip,
    dict(
        type='bcl_mm.ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4
    ),
    rand_augment,
]
sim_view = [
    *crop_and_flip,
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
rand_view = [*sim_view, rand_augment]
# bcl_mm's, by the bare name that mmpretrain's inferencer looks for.
load_image = dict(type='LoadImageFromFile', _scope_='bcl_mm')
# Large JPEGs are decoded as small as their crops allow.
load_for_crops = dict(load_image, decode_for_crops=True)
one_view = [
    load_for_crops,
    *classification_view,
    dict(type='bcl_mm.PackInputs'),
]
three_views = [  # the paper's "sim-sim"
    load_for_crops,
    dict(
        type='bcl_mm.MultiView',
        num_views=[1, 2],
        transforms=[classification_view, sim_view],
    ),
    dict(type='bcl_mm.PackInputs'),
]
three_views_sim_rand = [
    load_for_crops,
    dict(
        type='bcl_mm.MultiView',
        num_views=[1, 1, 1],
        transforms=[classification_view, sim_view, rand_view],
    ),
    dict(type='bcl_mm.PackInputs'),
]
three_views_rand_rand = [
    load_for_crops,
    dict(
        type='bcl_mm.MultiView',
        num_views=[1, 2],
        transforms=[classification_view, rand_view],
    ),
    dict(type='bcl_mm.PackInputs'),
]
test_view = [
    load_image,
    dict(
        type='mmpretrain.ResizeEdge',
        scale=256,
        edge='short',
        backend='pillow',  # antialiased
        interpolation='bilinear',
    ),
    dict(type='mmpretrain.CenterCrop', crop_size=224),
    dict(type='mmpretrain.PackInputs'),
]

# 8 processes of 32 images: a global batch of 256. The number of keys that an
# anchor is contrasted with, too, depends on the global batch: with fewer
# GPUs, raise batch_size, not only scale the learning rate.
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='bcl_mm.ImageNetLT',
        data_root=data_root,
        ann_file='ImageNet_LT_train.txt',
        pipeline=one_view,
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='bcl_mm.ImageNetLT',
        data_root=data_root,
        ann_file='ImageNet_LT_val.txt',
        test_mode=True,
        pipeline=test_view,
    ),
)
val_evaluator = dict(type='bcl_mm.ShotAccuracy')
test_dataloader = dict(
    batch_size=64,
    num_workers=8,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='bcl_mm.ImageNetLT',
        data_root=data_root,
        ann_file='ImageNet_LT_test.txt',
        test_mode=True,
        pipeline=test_view,
    ),
)
test_evaluator = val_evaluator

# The backbones of every method on images of this size, for the leaves.
# (mmpretrain's default is zero_init_residual=True, the reference's not.)
resnet50 = dict(type='mmpretrain.ResNet', depth=50, zero_init_residual=False)
resnext50 = dict(type='mmpretrain.ResNeXt', depth=50, zero_init_residual=False)
