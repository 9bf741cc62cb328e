# Places-LT (Liu et al., CVPR 2019): 365 classes, 62,500 training images (4,980
# to 5 a class), 7,300 for validation, 36,500 for testing. Views and
# normalisation as for ImageNet-LT. The BCL paper has no recipe for it.
_base_ = './imagenet_lt.py'
data_hint = (
    'It is the folder of Places365 (places2.csail.mit.edu) with '
    'Places_LT_{train,val,test}.txt in it (linked by the project '
    'OpenLongTailRecognition). Another folder: --cfg-options data_root=PATH'
)
data_root = 'data/places'
train_dataloader = dict(
    dataset=dict(
        type='bcl_mm.PlacesLT',
        data_root=data_root,
        ann_file='Places_LT_train.txt',
    )
)
val_dataloader = dict(
    dataset=dict(
        type='bcl_mm.PlacesLT',
        data_root=data_root,
        ann_file='Places_LT_val.txt',
    )
)
test_dataloader = dict(
    dataset=dict(
        type='bcl_mm.PlacesLT',
        data_root=data_root,
        ann_file='Places_LT_test.txt',
    )
)
