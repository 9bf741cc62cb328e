# Gaussian clouded logits (Li et al., CVPR 2022), its first stage.
_base_ = './common.py'
method_name = 'GCL'
model = dict(
    head=dict(
        classifier='cosine', loss_cls=dict(type='bcl_mm.GCLLoss', noise=1.0)
    )
)
