# Fashion-MNIST-LT: at most 1,000 images a class, imbalance factor 100
# (2,478 images); 100 other training images of each class for validation; the
# whole test set of 10,000.
data_hint = 'Fill it with: python tools/prepare_fashion_mnist.py'
data_root = 'data/fashion_mnist'
data_preprocessor = dict(
    type='bcl_mm.MultiViewDataPreprocessor', mean=[72.9], std=[90.0]
)

classification_view = [
    dict(type='mmpretrain.RandomCrop', crop_size=28, padding=3),
    dict(type='bcl_mm.RandomFlip', prob=0.5),
    dict(type='mmpretrain.Cutout', shape=10, pad_val=0, prob=1.0),
]
contrastive_view = [
    dict(type='bcl_mm.RandomResizedCrop', size=28, scale=(0.3, 1.0)),
    dict(type='bcl_mm.RandomFlip', prob=0.5),
    dict(type='bcl_mm.ColorJitter', brightness=0.4, contrast=0.4, prob=0.8),
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
    dict(type='bcl_mm.ToGrey'),
    dict(
        type='mmpretrain.Resize',
        scale=(28, 28),
        backend='pillow',  # antialiased
        interpolation='bilinear',
    ),
    dict(type='mmpretrain.PackInputs'),
]

# Images so small that workers would cost more than they bring.
train_dataloader = dict(
    batch_size=128,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='bcl_mm.LongTailDataset',
        imbalance_factor=100,
        max_per_class=1000,
        held_out=100,
        dataset=dict(
            type='mmpretrain.FashionMNIST',
            data_root=data_root,
            download=False,
            pipeline=one_view,
        ),
    ),
)
val_dataloader = dict(
    batch_size=500,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='bcl_mm.LongTailDataset',
        imbalance_factor=100,
        max_per_class=1000,
        held_out=100,
        part='val',
        dataset=dict(
            type='mmpretrain.FashionMNIST',
            data_root=data_root,
            download=False,
            pipeline=test_view,
        ),
    ),
)
val_evaluator = dict(type='bcl_mm.ShotAccuracy')
test_dataloader = dict(
    batch_size=500,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmpretrain.FashionMNIST',
        data_root=data_root,
        split='test',
        test_mode=True,  # this, not the split, chooses the file
        download=False,
        pipeline=test_view,
    ),
)
test_evaluator = val_evaluator

# The backbone of every method on these small images, for the leaves.
resnet8 = dict(
    type='bcl_mm.CIFARResNet',
    depth=8,
    in_channels=1,
    stem_stride=2,
    shortcut='projection',
    init_cfg=None,  # torch's own, which suits so shallow a net
)
