# LWS, learnable weight scaling (Kang et al., ICLR 2020): a factor for each
# class of a trained classifier. A leaf names the config of the first stage
# and draws class-balanced batches; model.pretrained is the first stage's
# checkpoint.
_base_ = './crt.py'
method_name = 'LWS'
model = dict(keep_classifier=True, head=dict(type='bcl_mm.WeightScalingHead'))
