# Supervised contrastive learning (Khosla et al., NeurIPS 2020) beside logit
# adjustment: BCL without both of its parts. A leaf takes three_views.
_base_ = './bcl.py'
method_name = 'supervised contrastive + LA'
model = dict(
    head=dict(loss_con=dict(class_averaging=False, class_complement=False))
)
