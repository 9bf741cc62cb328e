# DBM, a margin by class size and difficulty (Son et al., AAAI 2025), over
# cross-entropy.
_base_ = './dbm.py'
method_name = 'cross-entropy + DBM'
model = dict(
    head=dict(
        loss_cls=dict(
            loss=dict(_delete_=True, type='mmpretrain.CrossEntropyLoss')
        )
    )
)
