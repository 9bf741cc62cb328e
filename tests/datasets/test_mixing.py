"""Mixing of view 0, and the traps of the references."""

import numpy as np
import pytest
import torch

from bcl_mm.datasets import MixFirstView
from bcl_mm.datasets.mixing import random_box
from bcl_mm.datasets.transforms.loading import CorruptImageError
from bcl_mm.datasets.wrapping import SampleIndex
from bcl_mm.engine.hooks.corrupt_images import _SkippingDataset
from bcl_mm.registry import DATASETS
from tests.engine.hooks.common import DIGITS
from tests.engine.hooks.test_sample_seed import same, weights

PACK = [dict(type='mmpretrain.PackInputs')]
VIEWS = [
    dict(type='mmpretrain.MultiView', num_views=3, transforms=[[]]),
    *PACK,
]


def mixed(pipeline=VIEWS, **options):
    inner = dict(DIGITS, dataset=dict(DIGITS['dataset'], pipeline=pipeline))
    return MixFirstView(inner, PACK, **{'off_epochs': (0, 0), **options})


def index(number, epoch, num_epochs=10):
    made = SampleIndex(number)
    made.epoch, made.num_epochs = epoch, num_epochs
    return made


@pytest.mark.parametrize('mix', ['cutmix', 'mixup'])
def test_only_view_0_is_mixed(mix):
    data = mixed(mix=mix, prob=1.0)
    plain = data.dataset
    np.random.seed(0)
    changed = 0
    for number in range(0, len(data), 20):
        sample, before = data[number], plain[number]
        first, *others = sample['inputs']
        for ours, theirs in zip(others, before['inputs'][1:]):
            assert torch.equal(ours, theirs)
        changed += not torch.equal(first, before['inputs'][0])
        assert first.dtype == before['inputs'][0].dtype
        label = before['data_samples'].gt_label
        assert torch.equal(sample['data_samples'].gt_label, label)
        score = sample['data_samples'].gt_score
        assert score.sum() == pytest.approx(1)
        assert score.shape == (10,)
    assert changed > 5


def test_the_share_is_that_of_the_pixels():
    # White images of class 0, with black ones of class 1 to be pasted.
    class Plain:
        metainfo = dict(classes=['white', 'black'])

        def __len__(self):
            return 40

        def get_gt_labels(self):
            return np.array([0] * 39 + [1])

        def get_data_info(self, number):
            white = 255 * int(number < 39)
            image = np.full((7, 11, 3), white, np.uint8)
            return dict(img=image, gt_label=int(number == 39))

        def __getitem__(self, number):
            return data.partner(self.get_data_info(number))

    data = MixFirstView(Plain(), PACK, prob=1.0, off_epochs=(0, 0))
    np.random.seed(0)
    shares = []
    for _ in range(200):
        sample = data[0]
        score = sample['data_samples'].gt_score
        white = (sample['inputs'] == 255).float().mean().item()
        assert score[0] == 1 or score[0] == pytest.approx(white)
        shares.append(float(score[1]))
    # The one black image is drawn as often as the 39 white ones; an empty
    # box at the border is a share of nothing.
    assert 0.3 < np.mean([share > 0 for share in shares]) < 0.6
    assert 0 < np.mean(shares) < 0.3


def test_boxes_have_the_area_and_stay_inside():
    np.random.seed(0)
    areas = []
    for _ in range(2000):
        rows, columns = random_box(40, 60, 0.25)
        assert min(rows.start, columns.start) >= 0
        inside = np.zeros((40, 60))[rows, columns]
        areas.append(inside.size)
    assert max(areas) == 20 * 30  # a quarter, where no border cuts it
    assert np.mean(areas) < max(areas)
    assert all(
        np.zeros((40, 60))[random_box(40, 60, 0.0)].size == 0 for _ in range(9)
    )


@pytest.mark.parametrize('power', [0.0, 1.0])
def test_how_the_other_image_is_drawn(power, monkeypatch):
    data = mixed(power=power, prob=1.0)
    labels = data.dataset.get_gt_labels()
    drawn = []
    original = type(data.dataset).get_data_info

    def watch(self, number):
        drawn.append(labels[number])
        return original(self, number)

    monkeypatch.setattr(type(data.dataset), 'get_data_info', watch)
    np.random.seed(0)
    for _ in range(1500):
        data[0]
    shares = np.bincount(drawn, minlength=10) / len(drawn)
    counts = np.bincount(labels, minlength=10)
    expected = counts / counts.sum() if power == 0 else np.full(10, 0.1)
    assert np.abs(shares - expected).max() < 0.04


def test_the_first_and_last_epochs_train_without_it():
    data = mixed(prob=1.0, off_epochs=(3, 2))
    np.random.seed(0)
    on = [
        any(
            data[index(number, epoch)]['data_samples'].gt_score.max() < 1
            for number in range(20)
        )
        for epoch in range(10)
    ]
    assert on == [False] * 3 + [True] * 5 + [False] * 2


def test_a_damaged_image_is_not_mixed():
    data = mixed(prob=1.0)
    partner, loaded = data.partner, []

    def load(info):
        loaded.append(info)
        if len(loaded) % 2:
            raise CorruptImageError('it is empty')
        return partner(info)

    data.partner = load
    with pytest.raises(CorruptImageError):
        data[0]
    skipping = _SkippingDataset(data)
    loaded.clear()
    sample = skipping[3]['data_samples']  # with the second that was drawn
    assert len(loaded) == 2 and sample.gt_score.sum() == 1
    assert 'left_out' not in sample
    data.partner = lambda info: load(loaded.clear() or info)
    assert skipping[3]['data_samples'].gt_score.max() == 1


def test_what_replaces_an_image_is_of_the_same_epoch():
    data = _SkippingDataset(mixed(prob=1.0, off_epochs=(3, 0)))
    np.random.seed(0)

    def smallest_share(epoch):
        samples = [
            data._replacement(index(number, epoch), CorruptImageError('x'))
            for number in range(20)
        ]
        return min(s['data_samples'].gt_score.max() for s in samples)

    assert smallest_share(0) == 1
    assert smallest_share(5) < 1


def test_the_draws_of_the_views_do_not_depend_on_it():
    noise = [
        dict(type='mmpretrain.RandomCrop', crop_size=8, padding=2),
        *PACK,
    ]
    data = mixed(noise, prob=0.0)
    np.random.seed(3)
    first = data[5]['inputs']
    np.random.seed(3)
    assert torch.equal(first, data.dataset[5]['inputs'])


def test_labels_and_names_are_those_of_the_data():
    data = mixed()
    assert len(data) == len(data.dataset)
    assert data.metainfo == data.dataset.metainfo
    assert np.array_equal(data.get_gt_labels(), data.dataset.get_gt_labels())
    assert DATASETS.get('bcl_mm.MixFirstView') is MixFirstView


def test_another_size_is_an_error():
    resize = [dict(type='mmpretrain.Resize', scale=(4, 4)), *PACK]
    inner = dict(DIGITS, dataset=dict(DIGITS['dataset'], pipeline=VIEWS))
    data = MixFirstView(inner, resize, prob=1.0, off_epochs=(0, 0))
    with pytest.raises(ValueError, match='give MixFirstView the pipeline of'):
        data[0]


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(mix='blend'), "mix must be 'cutmix' or 'mixup', got 'blend'"),
        (dict(prob=2), r'prob must be in \[0, 1\], got 2'),
        (dict(alpha=0), 'alpha must be > 0, got 0'),
        (dict(power=-1), 'power must be in'),
        (dict(off_epochs=(3,)), 'off_epochs must be two numbers'),
        (dict(off_epochs=3), 'off_epochs must be two numbers.* got 3'),
        (dict(off_epochs=(3, -1)), 'off_epochs must be >= 0, got -1'),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        mixed(**options)


@pytest.mark.long
def test_workers_and_resuming_change_nothing(tmp_path):
    noise = [dict(type='bcl_mm.DrawFromAll'), *PACK]
    inner = dict(DIGITS, dataset=dict(DIGITS['dataset'], pipeline=noise))
    train = dict(
        type='bcl_mm.MixFirstView',
        dataset=inner,
        pipeline=noise,
        off_epochs=(1, 0),
    )
    whole = weights(tmp_path / 'whole', train=train)
    two = dict(num_workers=2)
    weights(tmp_path / 'parts', epochs=2, train=train, loader=two)
    resumed = weights(tmp_path / 'parts', train=train, resume=True)
    assert same(whole, resumed)
    # It is the first epoch alone that trains without it.
    plain = weights(tmp_path / 'plain', epochs=1, train=inner)
    first = weights(tmp_path / 'first', epochs=1, train=train)
    for name, value in plain.items():  # but for rounding: soft labels
        assert torch.allclose(value, first[name], rtol=1e-3, atol=1e-5)
    assert not same(weights(tmp_path / 'all', train=inner), whole)
