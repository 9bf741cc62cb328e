# Plain cross-entropy.
_base_ = './common.py'
method_name = 'cross-entropy'
model = dict(head=dict(loss_cls=dict(type='mmpretrain.CrossEntropyLoss')))
