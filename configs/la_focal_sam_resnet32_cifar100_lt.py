# Focal-SAM, with the setting of the authors' script for CIFAR-100-LT.
_base_ = './la_resnet32_cifar100_lt.py'
method_name = 'logit adjustment + Focal-SAM'
optim_wrapper = dict(
    type='bcl_mm.FocalSAMOptimWrapper', rho=0.3, gamma=3.2, strength=0.8
)
