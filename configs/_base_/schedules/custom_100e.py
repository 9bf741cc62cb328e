# SGD, 100 epochs: 5 % linear warm-up, then cosine. The rate is 0.1 for 256
# images, scaled to a batch of 64; --auto-scale-lr scales it further with the
# number of GPUs and the batch size.
optim_wrapper = dict(
    optimizer=dict(
        type='SGD', lr=0.025, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
)
param_scheduler = [
    dict(
        type='bcl_mm.WarmUpLR',
        fraction=0.05,
        start_factor=0.02,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=5)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=64, enable=False)
