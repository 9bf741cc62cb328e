# Balanced binary cross-entropy of LiVT (Xu et al., CVPR 2023).
_base_ = './common.py'
method_name = 'balanced BCE'
model = dict(head=dict(loss_cls=dict(type='bcl_mm.BalancedBCELoss', tau=1.0)))
