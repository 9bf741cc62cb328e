"""What views.png shows of a batch."""

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate, pseudo_collate
from mmengine.structures import BaseDataElement
from mmpretrain.structures import DataSample
from PIL import Image

from bcl_mm.engine.hooks.view_grid import ViewGridHook, draw_grid, to_image
from tests.engine.hooks.grids import record_grids


class Fake:
    """The parts of a Runner that the hook uses."""

    work_dir = ''
    iter = 0
    cfg = {}
    train_dataloader = None

    def __init__(self, to_rgb=False, classes=None):
        self.logger, self.visualizer, self.model = self, self, self
        self.train_dataloader, self.dataset = self, self
        self.metainfo = dict(classes=classes)
        self.data_preprocessor, self.to_rgb = self, to_rgb
        self.warnings = []

    def warning(self, message):
        self.warnings.append(message)

    def add_image(self, name, image, step):
        self.image = image


def drawn_of(runner, images, samples, monkeypatch, tmp_path):
    drawn = record_grids(monkeypatch)
    runner.work_dir = str(tmp_path)
    batch = dict(inputs=images, data_samples=samples)
    ViewGridHook().before_train_iter(runner, 0, batch)
    return drawn


@pytest.mark.parametrize('to_rgb', [True, False])
def test_colours(tmp_path, monkeypatch, to_rgb):
    image = torch.zeros(3, 32, 32, dtype=torch.uint8)
    image[0] = 200  # blue in BGR, red in RGB
    runner = Fake(to_rgb)
    drawn = drawn_of(runner, [image], [None], monkeypatch, tmp_path)
    ((((array,),), names, rows),) = drawn
    assert names == ['view 0\n'] and rows == ['']
    assert array.shape == (96, 96, 3)
    expected = [0, 0, 200] if to_rgb else [200, 0, 0]
    assert (array == expected).all()
    saved = np.asarray(Image.open(tmp_path / 'views.png'))
    assert (saved == runner.image).all()
    assert (saved == expected).all(-1).sum() == 96 * 96


def test_class_names(tmp_path, monkeypatch):
    samples = [DataSample().set_gt_label(i) for i in (0, 1)]
    samples += [DataSample().set_gt_label([0, 1]), BaseDataElement()]
    classes = ['кошка', 'a name that is too long for the margin']
    images = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    runner = Fake(classes=classes)
    runner.cfg = dict(augmentation='symbols')
    drawn = drawn_of(runner, images, samples, monkeypatch, tmp_path)
    assert drawn[0][1] == ['view 0\n\nsymbols']
    assert drawn[0][2] == [
        'class 0 (кошка)',
        'class 1 (a nam…r the margin)',
        '',
        '',
    ]


@pytest.mark.parametrize(
    'batch',
    [
        None,
        dict(),
        dict(inputs=[]),
        dict(inputs=dict(a=1)),
        dict(inputs='text'),
        dict(inputs=torch.zeros(2, 5)),
        dict(inputs=torch.zeros(2, 4, 8, 8)),
    ],
)
def test_a_batch_without_images_is_a_warning(batch):
    runner = Fake()
    ViewGridHook().before_train_iter(runner, 0, batch)
    (message,) = runner.warnings
    assert message.startswith('views.png is omitted: the batch has no "in')


@pytest.mark.parametrize('collate', [default_collate, pseudo_collate])
def test_images_of_a_single_view(tmp_path, monkeypatch, collate):
    batch = [
        dict(
            inputs=torch.full((1, 8, 8), i, dtype=torch.uint8),
            data_samples=DataSample().set_gt_label(i),
        )
        for i in range(3)
    ]
    batch = collate(batch)
    drawn = drawn_of(Fake(), *batch.values(), monkeypatch, tmp_path)
    ((columns, _, rows),) = drawn
    assert [array[0, 0, 0] for array in columns[0]] == [0, 1, 2]
    assert rows == ['class 0', 'class 1', 'class 2']


def test_sizes_and_types_of_images():
    gradient = torch.linspace(-2, 2, 9).reshape(1, 3, 3)
    array = np.asarray(to_image(gradient, False))
    assert array.shape == (96, 96, 3)
    assert array.min() == 0 and array.max() == 255
    assert to_image(gradient.bfloat16(), False).size == (96, 96)
    assert to_image(torch.zeros(3, 32, 32), False).size == (96, 96)
    assert to_image(torch.zeros(3, 224, 224), False).size == (224, 224)
    assert to_image(torch.zeros(3, 500, 1000), False).size == (256, 128)
    images = [[to_image(torch.zeros(1, s, s), False)] for s in (10, 224)]
    assert draw_grid(images, ['a', 'b'], ['']).width >= 2 * 224


@pytest.mark.parametrize(
    ('num_images', 'error', 'message'),
    [
        (-1, ValueError, 'num_images must be >= 0, got -1'),
        ('8', TypeError, "num_images must be a whole number, got '8'"),
    ],
)
def test_wrong_arguments(num_images, error, message):
    with pytest.raises(error, match=message):
        ViewGridHook(num_images)
