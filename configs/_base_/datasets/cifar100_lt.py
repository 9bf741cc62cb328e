# CIFAR-100-LT (LDAM-DRW's subset), imbalance factor 100: 10,847 images.
# The views are known from third parties only. The reference has no CIFAR
# training, and sources differ: some fill Cutout before normalisation, some
# crop the contrastive views from 0.08, some blur them. Imbalance factor 50:
# --cfg-options train_dataloader.dataset.imbalance_factor=50
data_hint = (
    'torchvision downloads it: python -c "import torchvision; '
    "torchvision.datasets.CIFAR100('data/cifar100', download=True)\""
)
data_root = 'data/cifar100'
data_preprocessor = dict(
    type='bcl_mm.MultiViewDataPreprocessor',
    mean=[129.304, 124.070, 112.434],
    std=[68.170, 65.392, 70.418],
    to_rgb=False,  # the arrays are RGB already
)

classification_view = [
    dict(type='mmpretrain.RandomCrop', crop_size=32, padding=4),
    dict(type='bcl_mm.RandomFlip', prob=0.5),
    dict(type='bcl_mm.CIFARAutoAugment'),
    # Filled with the mean, which is Cutout after normalisation.
    dict(
        type='mmpretrain.Cutout', shape=16, pad_val=[129, 124, 112], prob=1.0
    ),
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
        channel_order='rgb',
    ),
    dict(type='bcl_mm.RandomGrayscale', prob=0.2, channel_order='rgb'),
]
one_view = [*classification_view, dict(type='bcl_mm.PackInputs')]
three_views = [
    dict(
        type='mmpretrain.MultiView',
        num_views=[1, 2],
        transforms=[classification_view, contrastive_view],
    ),
    dict(type='bcl_mm.PackInputs'),
]
# The first two steps are for image files, of any size and colour.
test_view = [
    dict(type='bcl_mm.FilesToRGB'),
    dict(
        type='mmpretrain.Resize',
        scale=(32, 32),
        backend='pillow',  # antialiased
        interpolation='bilinear',
    ),
    dict(type='mmpretrain.PackInputs'),
]

train_dataloader = dict(
    batch_size=256,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='bcl_mm.LongTailDataset',
        imbalance_factor=100,
        dataset=dict(
            type='mmpretrain.CIFAR100',
            data_root=data_root,
            split='train',
            download=False,
            pipeline=one_view,
        ),
    ),
)
val_dataloader = dict(
    batch_size=500,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmpretrain.CIFAR100',
        data_root=data_root,
        split='test',
        test_mode=True,
        download=False,
        pipeline=test_view,
    ),
)
val_evaluator = dict(type='bcl_mm.ShotAccuracy')
test_dataloader = val_dataloader
test_evaluator = val_evaluator

# The backbone of every method on CIFAR-LT, for the leaves.
resnet32 = dict(type='bcl_mm.CIFARResNet', depth=32)
