_base_ = [
    './_base_/methods/la.py',
    './_base_/datasets/digits_lt.py',
    './_base_/schedules/digits_lt.py',
    './_base_/runtime/default.py',
]
model = dict(
    backbone=dict(
        type='bcl_mm.CIFARResNet',
        depth=8,
        in_channels=1,
        shortcut='projection',
        init_cfg=None,  # torch's own, which suits so shallow a net
    ),
    head=dict(num_classes=10, in_channels=64, scale=16.0),
)
