# Class-balanced loss, by the effective number of samples (Cui et al., CVPR
# 2019).
method_name = 'class-balanced loss'
model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='bcl_mm.BCLHead',
        loss_cls=dict(type='bcl_mm.ClassBalancedLoss', beta=0.9999),
        loss_con=None,
    ),
)
