# The contrastive views "rand-rand", 180 epochs: known from third parties.
_base_ = './bcl_resnext50_imagenet_lt_rand_rand.py'
train_cfg = dict(max_epochs=180)
