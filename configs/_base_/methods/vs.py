# Vector scaling (Kini et al., NeurIPS 2021). The classifier is linear, as the
# authors': cosines are bounded, and those of small classes, which training
# divides, could not grow to make up for it.
_base_ = './common.py'
method_name = 'vector scaling'
model = dict(
    head=dict(
        classifier='linear',
        loss_cls=dict(type='bcl_mm.VSLoss', gamma=0.3, tau=1.0),
    )
)
