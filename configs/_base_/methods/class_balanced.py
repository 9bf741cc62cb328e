# Class-balanced loss, by the effective number of samples (Cui et al., CVPR
# 2019).
_base_ = './common.py'
method_name = 'class-balanced loss'
model = dict(
    head=dict(loss_cls=dict(type='bcl_mm.ClassBalancedLoss', beta=0.9999))
)
