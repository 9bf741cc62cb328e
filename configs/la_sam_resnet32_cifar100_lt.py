# Sharpness-aware minimisation: two passes a step. rho is that of Focal-SAM's
# scripts for CIFAR-100-LT.
_base_ = './la_resnet32_cifar100_lt.py'
method_name = 'logit adjustment + SAM'
optim_wrapper = dict(type='bcl_mm.SAMOptimWrapper', rho=0.3)
