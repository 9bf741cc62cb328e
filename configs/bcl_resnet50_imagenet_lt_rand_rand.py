# The contrastive views "rand-rand", which the reference cannot launch.
_base_ = './bcl_resnet50_imagenet_lt.py'
train_dataloader = dict(dataset=dict(pipeline=_base_.three_views_rand_rand))
