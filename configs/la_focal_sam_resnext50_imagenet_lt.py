# Focal-SAM, with the setting of the authors' script for ImageNet-LT, where rho
# then grows to 0.1 and 0.2.
_base_ = './la_resnext50_imagenet_lt.py'
method_name = 'logit adjustment + Focal-SAM'
optim_wrapper = dict(
    type='bcl_mm.FocalSAMOptimWrapper', rho=0.05, gamma=0.8, strength=0.8
)
