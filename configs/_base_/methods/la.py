# Logit adjustment (Menon et al., ICLR 2021); tau = 1 is balanced softmax (Ren
# et al., NeurIPS 2020).
_base_ = './common.py'
method_name = 'logit adjustment'
model = dict(
    head=dict(loss_cls=dict(type='bcl_mm.LogitAdjustedLoss', tau=1.0))
)
