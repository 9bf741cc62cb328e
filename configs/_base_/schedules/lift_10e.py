# LIFT's: SGD, 10 epochs, cosine. The rate is for 128 images; --auto-scale-lr
# scales it with the number of GPUs and the batch size.
_base_ = './crt_10e.py'
optim_wrapper = dict(optimizer=dict(lr=0.01))
auto_scale_lr = dict(base_batch_size=128, enable=False)
