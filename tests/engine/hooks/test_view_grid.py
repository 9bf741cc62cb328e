"""The picture of the views does not affect training."""

import numpy as np
import pytest
import torch
from PIL import Image

from bcl_mm.engine.hooks import view_grid
from tests.engine.hooks.common import make
from tests.engine.hooks.grids import THREE_VIEWS, digits, hooks, record_grids
from tests.engine.hooks.test_sample_seed import noisy

WITH_CONTRAST = dict(loss_con=dict(type='bcl_mm.BalancedContrastiveLoss'))


@pytest.mark.parametrize('collate', ['default_collate', 'pseudo_collate'])
@pytest.mark.long
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
@pytest.mark.long
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


@pytest.mark.long
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


@pytest.mark.long
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
