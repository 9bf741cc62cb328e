# SGD, 30 epochs of 19 iterations: 5 % linear warm-up, then cosine. Chosen on
# validation images (docs/results.md).
optim_wrapper = dict(
    optimizer=dict(
        type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-3, nesterov=True
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
train_cfg = dict(by_epoch=True, max_epochs=30, val_interval=15)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=128, enable=False)
