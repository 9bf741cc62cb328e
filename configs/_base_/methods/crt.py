# cRT (Kang et al., ICLR 2020): a new classifier on the frozen backbone of a
# first stage. A leaf names the config of that stage and draws class-balanced
# batches; model.pretrained is the checkpoint of the first stage.
_base_ = './ce.py'
method_name = 'cRT'
model = dict(
    type='bcl_mm.FrozenBackboneClassifier', head=dict(classifier='linear')
)
