# cRT (Kang et al., ICLR 2020): a new classifier is trained on the frozen
# backbone of a first stage. A leaf names the config of that stage and draws
# class-balanced batches; model.pretrained is the stage's checkpoint.
method_name = 'cRT'
model = dict(
    type='bcl_mm.FrozenBackboneClassifier',
    backbone=dict(),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='bcl_mm.BCLHead',
        classifier='linear',
        loss_cls=dict(type='mmpretrain.CrossEntropyLoss'),
        loss_con=None,
    ),
)
