# Logit adjustment, averaged over BCL's three views: the effect of more views
# without contrast. A leaf takes the pipeline three_views.
_base_ = './la.py'
method_name = 'logit adjustment, three views'
model = dict(head=dict(classify_all_views=True))
