# Vector scaling (Kini et al., NeurIPS 2021).
_base_ = './common.py'
method_name = 'vector scaling'
model = dict(
    head=dict(loss_cls=dict(type='bcl_mm.VSLoss', gamma=0.3, tau=1.0))
)
