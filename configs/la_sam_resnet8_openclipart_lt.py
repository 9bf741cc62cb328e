# Sharpness-aware minimisation: two passes a step.
_base_ = './la_resnet8_openclipart_lt.py'
method_name = 'logit adjustment + SAM'
optim_wrapper = dict(type='bcl_mm.SAMOptimWrapper', rho=0.05)
