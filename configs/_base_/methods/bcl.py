# Balanced Contrastive Learning (Zhu et al., CVPR 2022). It trains on three
# views of an image: a leaf takes the pipeline three_views.
method_name = 'BCL'
model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='bcl_mm.BCLHead',
        loss_cls=dict(type='bcl_mm.LogitAdjustedLoss', tau=1.0),
        loss_con=dict(type='bcl_mm.BalancedContrastiveLoss'),
        cls_weight=1.0,
        con_weight=0.35,
    ),
)
