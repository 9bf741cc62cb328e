# Digits-LT: scikit-learn's handwritten digits, 8x8 pixels. The first 50 of
# each class are the test set; of the rest 8 of each class are for validation,
# and at most 120 for training, imbalance factor 50 (331 images, 120 to 2 a
# class).
data_preprocessor = dict(
    type='bcl_mm.MultiViewDataPreprocessor', mean=[77.8], std=[95.8]
)

# The digits are centred: the view that is classified keeps its place. (A
# shift of a pixel lifts every method, and cross-entropy the most.)
classification_view = [
    dict(type='bcl_mm.ColorJitter', brightness=0.4, contrast=0.4, prob=0.8),
]
contrastive_view = [
    dict(type='bcl_mm.RandomResizedCrop', size=8, scale=(0.5, 1.0)),
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
        scale=(8, 8),
        backend='pillow',  # antialiased
        interpolation='bilinear',
    ),
    dict(type='mmpretrain.PackInputs'),
]

# So small that workers would cost more than they bring. (mmpretrain's train.py
# would want persistent ones.)
train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='bcl_mm.LongTailDataset',
        imbalance_factor=50,
        max_per_class=120,
        held_out=8,
        dataset=dict(type='bcl_mm.Digits', split='train', pipeline=one_view),
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
        imbalance_factor=50,
        max_per_class=120,
        held_out=8,
        part='val',
        dataset=dict(
            type='bcl_mm.Digits',
            split='train',
            test_mode=True,
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
        type='bcl_mm.Digits', split='test', test_mode=True, pipeline=test_view
    ),
)
test_evaluator = val_evaluator

# The backbone of every method on these small images, for the leaves.
resnet8 = dict(
    type='bcl_mm.CIFARResNet',
    depth=8,
    in_channels=1,
    shortcut='projection',
)
