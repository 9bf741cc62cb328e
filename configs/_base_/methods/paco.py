# PaCo (Cui et al., ICCV 2021): GPaCo whose keys come from a momentum encoder.
_base_ = './gpaco.py'
method_name = 'PaCo'
model = dict(
    type='bcl_mm.MomentumClassifier',
    momentum=0.999,
    head=dict(branches=dict(paco=dict(norm_cfg=dict(type='BN1d')))),
)
