"""Packing against mmpretrain's, and the inputs of the model."""

import mmpretrain.datasets.transforms as mmpretrain_transforms
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from PIL import Image

from bcl_mm import config_path
from tests.datasets.transforms.common import PHOTOS, build

PHOTO = PHOTOS[0]
READ_ONLY = PHOTO.copy()
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    'img',
    [
        PHOTO,
        PHOTO[..., 0],
        PHOTO[..., :1],
        np.dstack([PHOTO, PHOTO[..., 0]]),
        PHOTO[10:50, 60:20:-2, ::-1],
        READ_ONLY,
        PHOTO.astype(np.float32),
        PHOTO[None],
        torch.from_numpy(PHOTO.copy()),
        Image.fromarray(PHOTO),
        [PHOTO, PHOTO[:20], PHOTO[..., :1]],
    ],
)
@pytest.mark.filterwarnings('ignore:The given NumPy array is not writable')
def test_inputs_are_mmpretrains(img):
    results = dict(img=img, gt_label=3, flip=True, other=1)
    ours = build('PackInputs')(dict(results))
    theirs = mmpretrain_transforms.PackInputs()(dict(results))
    assert ours.keys() == theirs.keys()
    assert ours['data_samples'].gt_label == theirs['data_samples'].gt_label
    assert ours['data_samples'].metainfo == theirs['data_samples'].metainfo
    views = [
        packed['inputs'] if isinstance(img, list) else [packed['inputs']]
        for packed in (ours, theirs)
    ]
    assert len(views[0]) == len(views[1])
    for mine, other in zip(*views):
        assert mine.dtype == other.dtype
        assert mine.is_contiguous() == other.is_contiguous()
        assert torch.equal(mine, other)


def test_wrong_inputs_are_refused_as_by_mmpretrain():
    with pytest.raises(TypeError, match='Unsupported input type'):
        build('PackInputs')(dict(img='photo'))


@pytest.mark.parametrize(
    ('leaf', 'shape'),
    [
        ('bcl_resnext50_imagenet_lt', (3, 224, 224)),
        ('bcl_resnet32_cifar100_lt', (3, 32, 32)),
        ('bcl_resnet8_fashion_mnist_lt', (1, 28, 28)),
        ('bcl_resnet8_digits_lt', (1, 8, 8)),
    ],
)
def test_views_are_bytes_all_the_way(leaf, shape, tmp_path):
    pipeline = Compose(Config.fromfile(config_path(leaf)).three_views)
    channels, *size = shape
    if 'imagenet' in leaf:
        Image.fromarray(PHOTO).save(tmp_path / 'photo.jpg')
        source = dict(img_path=str(tmp_path / 'photo.jpg'))
    else:
        source = dict(img=PHOTO[: size[0], : size[1], :channels].copy())
    for _ in range(20):
        inputs = pipeline(dict(source, gt_label=0))['inputs']
        assert len(inputs) == 3
        for view in inputs:
            assert view.dtype == torch.uint8
            assert view.shape == shape
