# The reference's schedule: SGD, no warm-up, one learning rate an epoch,
# lr / 2 (1 + cos(pi (e + 1) / (E + 1))) for epoch e of E, from 0; weight decay
# on every parameter. E follows max_epochs.
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4)
)
param_scheduler = dict(type='bcl_mm.ShiftedCosineLR', by_epoch=True)
train_cfg = dict(by_epoch=True, max_epochs=90, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=256, enable=False)
