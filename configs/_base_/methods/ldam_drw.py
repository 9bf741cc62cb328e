# LDAM with deferred re-weighting (Cao et al., NeurIPS 2019): margins by class,
# samples re-weighted in the last fifth of training.
method_name = 'LDAM-DRW'
model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='bcl_mm.BCLHead',
        classifier='cosine',
        loss_cls=dict(
            type='bcl_mm.LDAMLoss', max_margin=0.5, reweight_begin=0.8
        ),
        loss_con=None,
    ),
)
