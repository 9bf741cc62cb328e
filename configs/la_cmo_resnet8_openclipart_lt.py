# CMO (Park et al., CVPR 2022): view 0 gets a box of another image.
_base_ = './la_resnet8_openclipart_lt.py'
method_name = 'logit adjustment + CMO'
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='bcl_mm.MixFirstView',
        dataset=_base_.train_dataloader.dataset,
        pipeline=_base_.one_view,
    )
)
