# The authors' setting; pretrained=FILE is a ViT-B/16 in mmpretrain's names.
_base_ = [
    './_base_/methods/lift.py',
    './_base_/datasets/imagenet_lt.py',
    './_base_/schedules/lift_10e.py',
    './_base_/runtime/large_images.py',
]
data_preprocessor = dict(mean=[127.5] * 3, std=[127.5] * 3)
model = dict(
    backbone=dict(
        frozen=dict(type='mmpretrain.VisionTransformer', arch='b'), channels=32
    ),
    head=dict(num_classes=1000, in_channels=768),
)
plain_view = [
    _base_.load_image,
    *_base_.crop_and_flip,
    dict(type='bcl_mm.PackInputs'),
]
train_dataloader = dict(batch_size=128, dataset=dict(pipeline=plain_view))
