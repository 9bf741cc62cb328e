# LDAM with deferred re-weighting (Cao et al., NeurIPS 2019): margins by class;
# samples are re-weighted in the last fifth of training.
_base_ = './common.py'
method_name = 'LDAM-DRW'
model = dict(
    head=dict(
        classifier='cosine',
        loss_cls=dict(
            type='bcl_mm.LDAMLoss', max_margin=0.5, reweight_begin=0.8
        ),
    )
)
