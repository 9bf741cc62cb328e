# The paper's experiment: tools/dist_train.sh with 8 GPUs of 32 images.
_base_ = [
    './_base_/methods/bcl.py',
    './_base_/datasets/imagenet_lt.py',
    './_base_/schedules/imagenet_lt_90e.py',
    './_base_/runtime/default.py',
]
model = dict(
    # mmpretrain's default is zero_init_residual=True, the reference's not.
    backbone=dict(
        type='mmpretrain.ResNeXt', depth=50, zero_init_residual=False
    ),
    head=dict(
        num_classes=1000,
        in_channels=2048,
        hidden_channels=2048,
        out_channels=1024,
        loss_con=dict(temperature=0.07),
    ),
)
train_dataloader = dict(dataset=dict(pipeline=_base_.three_views))
