# Balanced Contrastive Learning (Zhu et al., CVPR 2022). It trains on three
# views of an image: a leaf takes the pipeline three_views.
_base_ = './la.py'
method_name = 'BCL'
model = dict(
    head=dict(
        type='bcl_mm.BCLHead',
        loss_con=dict(type='bcl_mm.BalancedContrastiveLoss'),
        cls_weight=1.0,
        con_weight=0.35,
    )
)
# Not needed: it delays class-complement (begin_epoch), or samples the classes
# that complement (num_sampled).
custom_hooks = [dict(type='bcl_mm.ClassComplementHook')]
