# default.py for images of ImageNet's size, whose products and convolutions
# take most of a GPU's time (docs/gpu.md).
_base_ = './default.py'
precision = 'tf32'
channels_last = True
