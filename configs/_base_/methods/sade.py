# SADE's three experts (Zhang et al., NeurIPS 2022), with equal weights in
# testing. A leaf gives each a last stage of its own (SharedTrunk), and
# in_channels of all.
_base_ = './common.py'
method_name = 'SADE, equal weights'
model = dict(
    head=dict(
        type='bcl_mm.ExpertHead',
        losses=[
            dict(type='mmpretrain.CrossEntropyLoss'),
            dict(type='bcl_mm.LogitAdjustedLoss'),
            dict(type='bcl_mm.ReversedPriorLoss', tau=2.0),
        ],
    )
)
