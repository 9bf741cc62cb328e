# Your own data set, on a frozen ViT-B/16: pretrained=FILE, in mmpretrain's
# names. (Of timm: model.backbone.frozen, see docs/methods.md.)
_base_ = [
    './_base_/methods/lift.py',
    './_base_/datasets/folder.py',
    './_base_/schedules/lift_10e.py',
    './_base_/runtime/own_large_images.py',
]
data_preprocessor = dict(mean=[127.5] * 3, std=[127.5] * 3)
model = dict(
    backbone=dict(frozen=dict(type='mmpretrain.VisionTransformer', arch='b')),
    head=dict(num_classes='from_data', in_channels=768),
)
plain_view = [
    _base_.load_image,
    *_base_.crop_and_flip,
    dict(type='bcl_mm.PackInputs'),
]
train_dataloader = dict(batch_size=128, dataset=dict(pipeline=plain_view))
