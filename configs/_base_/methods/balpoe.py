# BalPoE, a balanced product of experts (Aimar et al., CVPR 2023). Mixup
# calibrates the experts. A leaf gives each a last stage of its own
# (SharedTrunk), and in_channels of all.
_base_ = './common.py'
method_name = 'BalPoE'
model = dict(
    head=dict(type='bcl_mm.ExpertHead', taus=[0, 1, 2]),
    train_cfg=dict(augments=dict(type='mmpretrain.Mixup', alpha=0.4)),
)
