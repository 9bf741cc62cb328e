# DBM, a margin by class size and difficulty (Son et al., AAAI 2025), over
# logit adjustment.
_base_ = './la.py'
method_name = 'logit adjustment + DBM'
model = dict(
    head=dict(
        classifier='cosine',
        loss_cls=dict(
            _delete_=True,
            type='bcl_mm.DBMLoss',
            loss=dict(type='bcl_mm.LogitAdjustedLoss'),
            max_margin=0.1,
        ),
    )
)
