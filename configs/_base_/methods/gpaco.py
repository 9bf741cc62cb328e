# GPaCo, parametric contrastive learning (Cui et al., TPAMI 2023). It trains
# on all views of an image: a leaf takes the pipeline three_views.
_base_ = './common.py'
method_name = 'GPaCo'
model = dict(
    head=dict(
        classifier='linear',
        loss_cls=None,
        branches=dict(paco=dict(type='bcl_mm.GPaCo', queue_size=1024)),
    )
)
