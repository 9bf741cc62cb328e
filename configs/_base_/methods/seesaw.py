# Seesaw loss (Wang et al., CVPR 2021), mmpretrain's with the samples of all
# processes counted. A leaf gives it
# num_classes, as it does the head.
method_name = 'seesaw loss'
model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='bcl_mm.BCLHead',
        loss_cls=dict(type='bcl_mm.SeesawLoss'),
        loss_con=None,
    ),
)
