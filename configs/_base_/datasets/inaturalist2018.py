# iNaturalist 2018: 8,142 classes, 437,513 training and 24,426 validation
# images, which the literature tests on. Views as for ImageNet-LT. With lists
# of "path label" lines instead of the official files: ann_file='NAME.txt'.
_base_ = './imagenet_lt.py'
data_hint = (
    'It is the folder of train_val2018.tar.gz (github.com/visipedia/inat_comp'
    ') with train2018.json and val2018.json in it. Another folder: '
    '--cfg-options data_root=PATH'
)
data_root = 'data/inaturalist2018'
data_preprocessor = dict(
    mean=[118.83, 120.105, 96.9], std=[49.725, 49.47, 48.96]
)
train_dataloader = dict(
    dataset=dict(
        type='bcl_mm.INaturalist2018',
        data_root=data_root,
        ann_file='train2018.json',
    )
)
val_dataloader = dict(
    dataset=dict(
        type='bcl_mm.INaturalist2018',
        data_root=data_root,
        ann_file='val2018.json',
    )
)
test_dataloader = val_dataloader
