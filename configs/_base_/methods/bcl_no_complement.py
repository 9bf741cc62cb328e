# The paper's ablation: BCL without class-complement. A leaf takes three_views.
method_name = 'BCL without class-complement'
model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='bcl_mm.BCLHead',
        loss_cls=dict(type='bcl_mm.LogitAdjustedLoss', tau=1.0),
        loss_con=dict(
            type='bcl_mm.BalancedContrastiveLoss', class_complement=False
        ),
        cls_weight=1.0,
        con_weight=0.35,
    ),
)
