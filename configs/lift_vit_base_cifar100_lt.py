# The authors' setting; pretrained=FILE is a ViT-B/16 in mmpretrain's names.
_base_ = [
    './_base_/methods/lift.py',
    './_base_/datasets/cifar100_lt_224.py',
    './_base_/schedules/lift_10e.py',
    './_base_/runtime/large_images.py',
]
data_preprocessor = dict(mean=[127.5] * 3, std=[127.5] * 3)
model = dict(
    backbone=dict(
        frozen=dict(type='mmpretrain.VisionTransformer', arch='b'), channels=4
    ),
    head=dict(num_classes=100, in_channels=768),
)
train_dataloader = dict(batch_size=128)
