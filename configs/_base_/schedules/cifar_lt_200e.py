# SGD, 200 epochs: 5 epochs of linear warm-up (43 iterations each), a tenth
# of the learning rate from epochs 160 and 180 on. Known from third parties.
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.15, momentum=0.9, weight_decay=5e-4)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, by_epoch=False, end=215),
    dict(type='MultiStepLR', milestones=[160, 180], gamma=0.1, by_epoch=True),
]
train_cfg = dict(by_epoch=True, max_epochs=200, val_interval=5)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=256, enable=False)
