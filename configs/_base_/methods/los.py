# LOS, label over-smoothing (Sun et al., ICLR 2025): a trained classifier is
# trained on with labels that are almost uniform. A leaf names the config of
# the first stage, and the schedule los_10e; model.pretrained is the first
# stage's checkpoint.
_base_ = './crt.py'
method_name = 'LOS'
model = dict(
    keep_classifier=True,
    head=dict(
        loss_cls=dict(
            _delete_=True,
            type='mmpretrain.LabelSmoothLoss',
            label_smooth_val=0.98,
            mode='original',
        )
    ),
)
