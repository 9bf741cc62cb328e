# tau-normalisation (Kang et al., ICLR 2020) of a trained linear classifier.
# Nothing is trained: tools/test.py with the checkpoint of a first stage, whose
# config a leaf names. tau = 1 needs no choice on validation data.
method_name = 'tau-normalisation'
model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='bcl_mm.BCLHead',
        classifier='linear',
        tau_norm=1.0,
        loss_cls=dict(type='mmpretrain.CrossEntropyLoss'),
        loss_con=None,
    ),
)
is_trained = False
