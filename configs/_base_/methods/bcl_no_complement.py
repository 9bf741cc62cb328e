# The paper's ablation: BCL without class-complement. A leaf takes three_views.
_base_ = './bcl.py'
method_name = 'BCL without class-complement'
model = dict(head=dict(loss_con=dict(class_complement=False)))
