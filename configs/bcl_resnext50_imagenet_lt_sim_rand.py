# The contrastive views "sim-rand".
_base_ = './bcl_resnext50_imagenet_lt.py'
train_dataloader = dict(dataset=dict(pipeline=_base_.three_views_sim_rand))
