# SGD, 400 epochs: 10 epochs of warm-up, one learning rate each, then a tenth
# of the rate from epochs 360 and 380 on. Known from third parties.
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.15, momentum=0.9, weight_decay=5e-4)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=True, end=10),
    dict(type='MultiStepLR', milestones=[360, 380], gamma=0.1, by_epoch=True),
]
train_cfg = dict(by_epoch=True, max_epochs=400, val_interval=5)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=256, enable=False)
