# Focal loss on softmax probabilities (Lin et al., ICCV 2017).
_base_ = './common.py'
method_name = 'focal loss'
model = dict(head=dict(loss_cls=dict(type='bcl_mm.FocalLoss', gamma=2.0)))
