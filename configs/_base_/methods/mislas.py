# The second stage of MiSLAS (Zhong et al., CVPR 2021): label-aware smoothing,
# weight scaling and shifted batch norm. A leaf names the config of the first
# stage and draws class-balanced batches; model.pretrained is the first
# stage's checkpoint. (In the paper, the first stage trains with Mixup.)
_base_ = './crt.py'
method_name = 'MiSLAS, second stage'
model = dict(
    keep_classifier=True,
    track_bn=True,
    head=dict(
        type='bcl_mm.WeightScalingHead',
        freeze_classifier=False,
        loss_cls=dict(
            _delete_=True,
            type='bcl_mm.LabelAwareSmoothingLoss',
            head=0.3,
            tail=0.0,
        ),
    ),
)
