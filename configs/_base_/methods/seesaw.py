# Seesaw loss (Wang et al., CVPR 2021): mmpretrain's, with the samples of all
# processes counted. A leaf gives num_classes to the loss, too.
_base_ = './common.py'
method_name = 'seesaw loss'
model = dict(head=dict(loss_cls=dict(type='bcl_mm.SeesawLoss')))
