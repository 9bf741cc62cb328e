# Focal-SAM: sharpness-aware minimisation for the rare classes.
_base_ = './la_resnet8_openclipart_lt.py'
method_name = 'logit adjustment + Focal-SAM'
optim_wrapper = dict(type='bcl_mm.FocalSAMOptimWrapper', rho=0.05)
