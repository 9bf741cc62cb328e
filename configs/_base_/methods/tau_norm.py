# tau-normalisation (Kang et al., ICLR 2020) of a trained linear classifier. It
# is tested only, with the checkpoint of a first stage, whose config a leaf
# names. tau = 1 needs no choice on validation data.
_base_ = './ce.py'
method_name = 'tau-normalisation'
model = dict(head=dict(classifier='linear', tau_norm=1.0))
is_trained = False
