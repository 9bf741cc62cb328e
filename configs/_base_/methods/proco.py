# ProCo, probabilistic contrastive learning (Du et al., TPAMI 2024). It trains
# on three views of an image: a leaf takes the pipeline three_views.
_base_ = './la.py'
method_name = 'ProCo'
model = dict(
    head=dict(branches=dict(proco=dict(type='bcl_mm.ProCo', weight=1.0)))
)
