# The model of every method; a method adds its loss or its head.
model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(type='bcl_mm.LongTailHead'),
)
