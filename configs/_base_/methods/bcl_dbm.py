# BCL with DBM, a margin by class size and difficulty (Son et al., AAAI 2025).
# It trains on three views of an image: a leaf takes the pipeline three_views.
_base_ = './bcl.py'
method_name = 'BCL + DBM'
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
