# Supervised contrastive learning (Khosla et al., NeurIPS 2020) beside logit
# adjustment: BCL without both of its parts. A leaf takes three_views.
method_name = 'supervised contrastive + LA'
model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='bcl_mm.BCLHead',
        loss_cls=dict(type='bcl_mm.LogitAdjustedLoss', tau=1.0),
        loss_con=dict(
            type='bcl_mm.BalancedContrastiveLoss',
            class_averaging=False,
            class_complement=False,
        ),
        cls_weight=1.0,
        con_weight=0.35,
    ),
)
