# The authors' rate for LOS. With cRT's, the classifier loses what it has
# learnt.
_base_ = './crt_10e.py'
optim_wrapper = dict(optimizer=dict(lr=0.0005, weight_decay=0.0))
