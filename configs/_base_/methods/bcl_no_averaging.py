# The paper's ablation: BCL without class-averaging. A leaf takes three_views.
_base_ = './bcl.py'
method_name = 'BCL without class-averaging'
model = dict(head=dict(loss_con=dict(class_averaging=False)))
