# Ablation: BCL with the log of the mean probability of the positives, as in
# GML (Suh and Seo, ICML 2023), in place of the mean of their logs.
_base_ = './bcl.py'
method_name = 'BCL, log-mean-exp'
model = dict(head=dict(loss_con=dict(reduction='log_mean_exp')))
