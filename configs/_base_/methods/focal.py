# Focal loss on softmax probabilities (Lin et al., ICCV 2017).
method_name = 'focal loss'
model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='bcl_mm.BCLHead',
        loss_cls=dict(type='bcl_mm.FocalLoss', gamma=2.0),
        loss_con=None,
    ),
)
