"""The start from class means, and runs that resume from adapters alone."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.dataset import Compose
from mmengine.registry import MODELS

from bcl_mm.datasets.transforms.loading import CorruptImageError
from bcl_mm.engine.hooks.lift import (
    _collate_loaded,
    _TestViews,
    class_means,
)
from bcl_mm.utils.modules import unwrapped
from tests.distributed.common import on_ranks
from tests.engine.hooks.common import DIGITS, INFO_HOOKS, make
from tests.lift import VIT, write_weights

GREY = {**VIT, 'in_channels': 1}
# So many digits that a class mean has two to 12 of them.
FEW = ConfigDict(DIGITS, max_per_class=12, imbalance_factor=6)


def lift(folder, epochs=2, frozen=True, name='run', **options):
    """A Runner of LIFT on digits, in ``folder/name``."""
    weights = write_weights(folder / 'vit.pth', GREY)
    head = dict(num_classes=10, in_channels=8, scale=25.0)
    settings = dict(
        model=dict(
            type='mmpretrain.ImageClassifier',
            data_preprocessor=dict(
                type='bcl_mm.MultiViewDataPreprocessor', mean=[8], std=[8]
            ),
            backbone=dict(
                type='bcl_mm.AdaptedBackbone', frozen=GREY, channels=3
            ),
            neck=None,
            head=dict(type='bcl_mm.LongTailHead', **head),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
        default_hooks=dict(
            **INFO_HOOKS,
            checkpoint=dict(type='bcl_mm.SafeCheckpointHook', interval=1),
            sample_seed=dict(type='bcl_mm.SampleSeedHook'),
        ),
        custom_hooks=[dict(type='bcl_mm.LIFTHook')],
    )
    if frozen:
        settings['model']['backbone']['weights_file'] = weights
    settings.update(options)
    (folder / name).mkdir(exist_ok=True)
    runner = make(folder / name, train=FEW, **settings)
    test = dict(pipeline=FEW.dataset.pipeline)
    runner.cfg.test_dataloader = dict(dataset=test)
    return runner


def expected_vectors(runner, pipeline):
    """(C, D) class vectors by a plain loop, from the frozen weights."""
    model, dataset = unwrapped(runner.model).eval(), dataset_of(runner)
    rows = {}
    with torch.no_grad():
        for i in range(len(dataset)):
            sample = pipeline(dataset.get_data_info(i))
            image = (sample['inputs'][None].float() - 8) / 8
            (row,) = model.backbone.frozen(image)[0]
            label = int(sample['data_samples'].gt_label)
            rows.setdefault(label, []).append(row.double())
    vectors = []
    for label in range(10):
        mean = sum(rows[label]) / len(rows[label])
        vectors.append(mean / mean.square().sum().sqrt())
    return torch.stack(vectors).float()


def dataset_of(runner):
    return runner.train_dataloader.dataset


def start(runner):
    """Train with a rate of 0: the classifier stays as it starts."""
    runner.train()
    return unwrapped(runner.model).head.classifier.weight.detach()


def test_it_starts_from_class_means(tmp_path):
    still = dict(optimizer=dict(type='SGD', lr=0.0))
    runner = lift(tmp_path, 1, optim_wrapper=still)
    pipeline = Compose(FEW.dataset.pipeline)
    expected = expected_vectors(runner, pipeline)
    found = start(runner)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert torch.allclose(found.norm(dim=1), torch.ones(10))


@pytest.mark.long
def test_load_from_keeps_the_loaded_classifier(tmp_path):
    lift(tmp_path, 1, name='first').train()
    path = tmp_path / 'first' / 'epoch_1.pth'
    still = dict(optimizer=dict(type='SGD', lr=0.0))
    options = dict(load_from=str(path), optim_wrapper=still)
    found = start(lift(tmp_path, 1, name='second', **options))
    loaded = torch.load(path)['state_dict']['head.classifier.weight']
    assert torch.equal(found, loaded)


@pytest.mark.long
def test_it_sees_test_views(tmp_path):
    """Means are not of the augmented views of training."""
    views = dict(type='mmpretrain.Rotate', angle=180.0, prob=1.0)
    still = dict(optimizer=dict(type='SGD', lr=0.0))
    plain = start(lift(tmp_path, 1, optim_wrapper=still))
    runner = lift(tmp_path, 1, name='turned', optim_wrapper=still)
    leaf = dataset_of(runner).dataset
    assert len(leaf.pipeline.transforms) == 1
    leaf.pipeline = Compose([views, *FEW.dataset.pipeline])
    assert torch.equal(start(runner), plain)


@pytest.mark.long
def test_resuming_is_bit_identical(tmp_path):
    whole = lift(tmp_path)
    whole.train()
    lift(tmp_path, 1, name='two').train()
    path = tmp_path / 'two' / 'epoch_1.pth'
    content = torch.load(path)
    names = set(content['state_dict'])
    assert not any('frozen' in name for name in names)
    record = content['meta']['frozen_backbone']
    assert record['file'] == str(tmp_path / 'vit.pth')
    stored = content['state_dict']['backbone.fingerprint']
    assert record['sha256'] == bytes(stored.tolist()).hex()
    second = lift(tmp_path, name='two', load_from=str(path), resume=True)
    second.train()
    one, two = (
        torch.load(tmp_path / name / 'epoch_2.pth') for name in ('run', 'two')
    )
    assert set(one['state_dict']) == names
    assert str(one['optimizer']) == str(two['optimizer'])
    for name, value in one['state_dict'].items():
        assert torch.equal(value, two['state_dict'][name]), name
    # Not because nothing was trained.
    before = content['state_dict']['backbone.adapters.0.up.weight']
    after = one['state_dict']['backbone.adapters.0.up.weight']
    assert before.any() and not torch.equal(before, after)


@pytest.mark.long
def test_resuming_and_testing_with_another_backbone(tmp_path):
    lift(tmp_path, 1).train()
    path = str(tmp_path / 'run' / 'epoch_1.pth')
    other = write_weights(tmp_path / 'other.pth', GREY, seed=1)
    for method in ('train', 'test'):
        runner = lift(tmp_path, load_from=path, resume=method == 'train')
        model = unwrapped(runner.model)
        backbone = dict(type='bcl_mm.AdaptedBackbone', frozen=GREY)
        model.backbone = MODELS.build(
            dict(backbone, channels=3, weights_file=other)
        )
        with pytest.raises(ValueError, match="'.*other.pth' has other weight"):
            getattr(runner, method)()
    with pytest.raises(ValueError, match='frozen backbone needs its weights'):
        lift(tmp_path, frozen=False).train()


@pytest.mark.long
def test_errors(tmp_path):
    linear = lift(tmp_path)
    unwrapped(linear.model).head.classifier.scale = None
    with pytest.raises(ValueError, match="set model.head.classifier='cosine'"):
        linear.train()
    untested = lift(tmp_path)
    untested.cfg.test_dataloader = None
    with pytest.raises(ValueError, match='need test_dataloader.dataset.pipel'):
        untested.train()


class HalfBroken:
    """A training set whose every second image is damaged."""

    def __len__(self):
        return 4

    def get_data_info(self, index):
        if index % 2:
            raise CorruptImageError('damaged')
        return dict(index=index)


def test_damaged_images_are_left_out_where_training_skips_them():
    with pytest.raises(CorruptImageError):
        _TestViews(HalfBroken(), [], 1, 2)[0]
    dataset = HalfBroken()
    dataset.left_out = 'left_out'
    views = _TestViews(dataset, [], 0, 1)
    loaded = _collate_loaded([views[i] for i in range(4)])
    assert loaded['index'].tolist() == [0, 2]
    assert _collate_loaded([views[1]]) is None
    with pytest.raises(ValueError, match='with get_data_info.index., .*list'):
        _TestViews([1], [], 0, 1)


def on_shards(rank, world_size, folder):
    """Class means of shards of unequal sizes and classes."""
    own = folder / f'{world_size}_{rank}'
    own.mkdir()
    runner = lift(own)
    samples = [dataset_of(runner)[i] for i in range(len(dataset_of(runner)))]
    cut = len(samples) // 3
    if world_size > 1:
        samples = samples[:cut] if rank == 0 else samples[cut:]
    batch = dict(
        inputs=[sample['inputs'] for sample in samples],
        data_samples=[sample['data_samples'] for sample in samples],
    )
    model = unwrapped(runner.model).eval()
    means, counts = class_means(model, [batch, None], 10)
    return means.tolist(), counts.tolist()


@pytest.mark.long
def test_class_means_are_of_all_processes(tmp_path):
    found = on_ranks(on_shards, [1, 2], tmp_path)
    ((means, counts),) = found[1]
    assert counts == torch.tensor(counts).round().tolist() and all(counts)
    for means_of_rank, counts_of_rank in found[2]:
        assert counts_of_rank == counts
        torch.testing.assert_close(
            torch.tensor(means_of_rank), torch.tensor(means)
        )
