"""The picture of the views does not affect training."""

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate, pseudo_collate
from mmengine.structures import BaseDataElement
from mmpretrain.structures import DataSample
from PIL import Image

from bcl_mm.engine.hooks import view_grid
from bcl_mm.engine.hooks.view_grid import ViewGridHook, draw_grid, to_image
from tests.engine.hooks.common import DIGITS, INFO_HOOKS, make
from tests.engine.hooks.test_sample_seed import noisy

JITTER = dict(type='bcl_mm.ColorJitter', brightness=0.4, prob=0.8)
THREE_VIEWS = [
    dict(
        type='mmpretrain.MultiView',
        num_views=[1, 2],
        transforms=[[], [JITTER]],
    ),
    dict(type='mmpretrain.PackInputs'),
]
WITH_CONTRAST = dict(loss_con=dict(type='bcl_mm.BalancedContrastiveLoss'))


def hooks(**options):
    return dict(
        logger=dict(type='LoggerHook'),
        **INFO_HOOKS,
        view_grid=dict(type='bcl_mm.ViewGridHook', **options),
    )


def digits(pipeline):
    return dict(DIGITS, dataset=dict(DIGITS['dataset'], pipeline=pipeline))


def record_grids(monkeypatch):
    """Record drawings: (columns of arrays, column names, row names)."""
    drawn = []

    def draw(columns, column_names, row_names):
        arrays = [[np.asarray(image) for image in c] for c in columns]
        drawn.append((arrays, column_names, row_names))
        return draw_grid(columns, column_names, row_names)

    monkeypatch.setattr(view_grid, 'draw_grid', draw)
    return drawn


@pytest.mark.parametrize('collate', ['default_collate', 'pseudo_collate'])
def test_the_views_that_are_trained_on(tmp_path, monkeypatch, collate):
    drawn = record_grids(monkeypatch)
    runner = make(
        tmp_path,
        train=digits(THREE_VIEWS),
        head=WITH_CONTRAST,
        default_hooks=hooks(num_images=3),
    )
    runner._train_dataloader['collate_fn'] = dict(type=collate)
    fed, preprocessor = [], type(runner.model.data_preprocessor)
    forward = preprocessor.forward

    def remember(self, data, training=False):
        fed.append(forward(self, data, training))
        return fed[-1]

    monkeypatch.setattr(preprocessor, 'forward', remember)
    runner.train()
    ((columns, column_names, row_names),) = drawn  # once
    inputs = fed[0]['inputs'].reshape(3, -1, 8, 8)
    for view, column in zip(inputs, columns):
        assert len(column) == 3
        for image, array in zip(view, column):
            big = np.kron(image, np.ones((12, 12)))  # 96 pixels
            assert (array == big[..., None]).all()
    assert column_names == [
        'view 0\nclassified',
        'view 1\ncontrastive',
        'view 2\ncontrastive',
    ]
    labels = [int(s.gt_label) for s in fed[0]['data_samples'][:3]]
    assert row_names == [f'class {label}' for label in labels]
    with Image.open(tmp_path / 'views.png') as image:
        assert min(image.size) > 3 * 96
        shown = np.asarray(image)
    (copy,) = tmp_path.glob('*/vis_data/vis_image/views_0.png')
    assert (np.asarray(Image.open(copy)) == shown).all()


@pytest.mark.parametrize(
    ('head', 'roles'),
    [
        (dict(), ['classified', 'unused', 'unused']),
        (dict(classify_all_views=True), ['classified'] * 3),
    ],
)
def test_what_the_views_are_for(tmp_path, monkeypatch, head, roles):
    drawn = record_grids(monkeypatch)
    runner = make(
        tmp_path,
        train=digits(THREE_VIEWS),
        head=head,
        default_hooks=hooks(),
        train_cfg=dict(by_epoch=True, max_epochs=1),
    )
    said = []
    monkeypatch.setattr(runner.logger, 'warning', said.append)
    runner.train()
    assert [name.split('\n')[1] for name in drawn[0][1]] == roles
    warned = [text for text in said if 'makes 3 views of each image' in text]
    assert len(warned) == ('unused' in roles)


def test_unused_views_are_said_without_a_picture(tmp_path, monkeypatch):
    drawn = record_grids(monkeypatch)
    runner = make(
        tmp_path,
        train=digits(THREE_VIEWS),
        default_hooks=hooks(num_images=0),
        train_cfg=dict(by_epoch=True, max_epochs=1),
    )
    said = []
    monkeypatch.setattr(runner.logger, 'warning', said.append)
    runner.train()
    assert sum('makes 3 views of each image' in text for text in said) == 1
    assert not drawn
    assert not (tmp_path / 'views.png').exists()


@pytest.mark.parametrize('by_epoch', [True, False])
def test_training_is_the_same_bit_for_bit(tmp_path, by_epoch):
    def weights(name, default_hooks):
        train_cfg = (
            dict(by_epoch=True, max_epochs=2)
            if by_epoch
            else dict(by_epoch=False, max_iters=5, val_interval=5)
        )
        runner = make(
            tmp_path / name,
            train=noisy(),  # draws from every generator
            default_hooks=default_hooks,
            train_cfg=train_cfg,
        )
        runner._train_dataloader['sampler'] = dict(
            type='DefaultSampler' if by_epoch else 'InfiniteSampler'
        )
        runner.train()
        return runner.model.state_dict()

    without = weights('without', hooks(num_images=0))
    drawn = weights('with', hooks())
    assert (tmp_path / 'with' / 'views.png').is_file()
    assert not (tmp_path / 'without' / 'views.png').is_file()
    assert without.keys() == drawn.keys()
    assert all(torch.equal(without[name], drawn[name]) for name in drawn)


def test_a_resumed_training_leaves_the_picture(tmp_path, monkeypatch):
    picture = tmp_path / 'views.png'
    checkpoint = dict(type='CheckpointHook', interval=1)

    def train(name, **options):
        make(
            tmp_path,
            default_hooks=dict(hooks(), checkpoint=checkpoint),
            experiment_name=name,
            **options,
        ).train()

    train('first')
    first = picture.read_bytes()
    monkeypatch.setattr(view_grid, 'MIN_SIDE', 40)  # a different picture
    longer = dict(resume=True, load_from=str(tmp_path / 'epoch_1.pth'))
    train('resumed', **longer)
    assert picture.read_bytes() == first
    picture.unlink()
    train('resumed without a picture', **longer)
    assert picture.read_bytes() != first
    picture.write_bytes(b'of an earlier training')
    train('anew')
    assert picture.read_bytes() != b'of an earlier training'


def test_a_full_disk_is_a_warning(tmp_path, monkeypatch):
    def fail(path, mode):
        raise OSError(28, 'No space left on device', str(path))

    monkeypatch.setattr(view_grid, 'open_atomically', fail)
    runner = make(tmp_path, default_hooks=hooks())
    warnings = []
    monkeypatch.setattr(runner.logger, 'warning', warnings.append)
    runner.train()
    assert runner.epoch == 2
    (message,) = [text for text in warnings if 'views.png' in text]
    assert message.startswith('views.png could not be written: [Errno 28] No')


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
