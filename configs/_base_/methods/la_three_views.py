# Logit adjustment, the loss averaged over the three views that BCL takes: what
# more views give without contrast. A leaf takes the pipeline three_views.
method_name = 'logit adjustment, three views'
model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='bcl_mm.BCLHead',
        classify_all_views=True,
        loss_cls=dict(type='bcl_mm.LogitAdjustedLoss', tau=1.0),
        loss_con=None,
    ),
)
