# own_data.py for images of ImageNet's size, see large_images.py.
_base_ = './own_data.py'
precision = 'tf32'
channels_last = True
