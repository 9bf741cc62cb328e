# CIFAR-100-LT for transformers: enlarged to 224x224 pixels, one view.
_base_ = './cifar100_lt.py'
one_view = [
    dict(type='bcl_mm.RandomResizedCrop', size=224, scale=(0.08, 1.0)),
    dict(type='bcl_mm.RandomFlip', prob=0.5),
    dict(type='bcl_mm.PackInputs'),
]
test_view = [
    dict(type='bcl_mm.FilesToRGB'),
    dict(
        type='mmpretrain.Resize',
        scale=(256, 256),
        backend='pillow',  # antialiased
        interpolation='bilinear',
    ),
    dict(type='mmpretrain.CenterCrop', crop_size=224),
    dict(type='mmpretrain.PackInputs'),
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=one_view)))
val_dataloader = dict(dataset=dict(pipeline=test_view))
test_dataloader = dict(dataset=dict(pipeline=test_view))
