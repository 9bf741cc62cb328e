# Plain cross-entropy.
method_name = 'cross-entropy'
model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='bcl_mm.BCLHead',
        loss_cls=dict(type='mmpretrain.CrossEntropyLoss'),
        loss_con=None,
    ),
)
