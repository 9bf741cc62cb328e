# The contrastive views "sim-rand", 180 epochs: known from third parties.
_base_ = './bcl_resnext50_imagenet_lt_sim_rand.py'
train_cfg = dict(max_epochs=180)
