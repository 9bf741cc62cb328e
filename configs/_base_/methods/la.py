# Logit adjustment (Menon et al., ICLR 2021); tau = 1 is balanced softmax (Ren
# et al., NeurIPS 2020).
method_name = 'logit adjustment'
model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='bcl_mm.BCLHead',
        loss_cls=dict(type='bcl_mm.LogitAdjustedLoss', tau=1.0),
        loss_con=None,
    ),
)
