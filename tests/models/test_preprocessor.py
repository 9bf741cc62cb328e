import pytest
import torch
from mmengine.dataset import default_collate, pseudo_collate
from mmpretrain.structures import DataSample
from torch.utils._python_dispatch import TorchDispatchMode

from bcl_mm.classes import ClassInfo
from bcl_mm.models.preprocessor import MultiViewDataPreprocessor
from bcl_mm.utils.errors import InputError


def samples(views, batch_size=3, channels=3):
    """Packed samples; an image is filled with 10 * its index + its view."""
    for i in range(batch_size):
        images = [
            torch.full((channels, 4, 4), 10 * i + v, dtype=torch.uint8)
            for v in range(max(views, 1))
        ]
        yield dict(
            inputs=images if views else images[0],
            data_samples=DataSample().set_gt_label(i),
        )


@pytest.mark.parametrize('collate', [default_collate, pseudo_collate])
@pytest.mark.parametrize('training', [True, False])
def test_views_are_stacked_view_major(collate, training):
    batch = collate(list(samples(views=2)))
    out = MultiViewDataPreprocessor()(batch, training)
    assert out['inputs'].shape == (6, 3, 4, 4)
    assert out['inputs'][:, 0, 0, 0].tolist() == [0, 10, 20, 1, 11, 21]
    assert [int(s.gt_label) for s in out['data_samples']] == [0, 1, 2]


@pytest.mark.parametrize('collate', [default_collate, pseudo_collate])
@pytest.mark.parametrize('batch_size', [1, 3])
def test_plain_images_pass(collate, batch_size):
    batch = collate(list(samples(views=0, batch_size=batch_size)))
    out = MultiViewDataPreprocessor()(batch)
    assert out['inputs'].shape == (batch_size, 3, 4, 4)
    assert out['inputs'][:, 0, 0, 0].tolist() == [0, 10, 20][:batch_size]


@pytest.mark.parametrize('collate', [default_collate, pseudo_collate])
def test_colours_and_normalisation(collate):
    image = torch.arange(3, dtype=torch.uint8).reshape(3, 1, 1).repeat(1, 4, 4)
    sample = dict(inputs=[image] * 3, data_samples=DataSample())
    out = MultiViewDataPreprocessor(
        mean=[1.0, 2.0, 3.0], std=[2.0, 2.0, 4.0], to_rgb=True
    )(collate([sample] * 3))
    assert out['inputs'].dtype == torch.float32
    assert out['inputs'].shape == (9, 3, 4, 4)
    expected = [(2 - 1) / 2, (1 - 2) / 2, (0 - 3) / 4]
    for image in out['inputs']:
        assert image[:, 0, 0].tolist() == expected


def test_mixing_of_several_views_is_refused():
    preprocessor = MultiViewDataPreprocessor(
        num_classes=3,
        batch_augments=dict(augments=dict(type='Mixup', alpha=0.8)),
    )
    batch = default_collate(list(samples(views=2)))
    with pytest.raises(ValueError, match='batch has 2 views of each image'):
        preprocessor(batch, training=True)
    plain = default_collate(list(samples(views=0)))
    out = preprocessor(plain, training=True)
    assert out['data_samples'][0].gt_score.shape == (3,)


def test_views_of_different_sizes_are_refused():
    views = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 5, 5)
    for inputs in (list(views), [list(view) for view in views]):
        with pytest.raises(ValueError, match='views of a batch must have the'):
            MultiViewDataPreprocessor()(dict(inputs=inputs))


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(std=[1.0]), 'mean and std must be given together, got mean=Non'),
        (dict(mean=[1.0]), 'mean and std must be given together'),
        (dict(mean=[1.0], std=[0]), 'std must be > 0, got 0'),
        (dict(mean=[1.0], std=[-2.0]), 'std must be > 0, got -2.0'),
        (dict(mean=[float('nan')], std=[1.0]), 'mean must be finite, got nan'),
        (dict(mean=['1'], std=[1.0]), "mean must be a number, got '1'"),
        (dict(mean=[], std=[1.0]), r'mean must be a number, got \[\]'),
        (dict(mean=[1.0] * 3, std=[1.0] * 2), 'per channel, got 3 and 2'),
        (dict(num_classes=0), 'num_classes must be >= 2, got 0'),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(InputError, match=message):
        MultiViewDataPreprocessor(**settings)


@pytest.mark.parametrize('collate', [default_collate, pseudo_collate])
@pytest.mark.parametrize('views', [0, 2])
def test_means_of_other_channels_are_not_broadcast(collate, views):
    batch = collate(list(samples(views, channels=1)))
    preprocessor = MultiViewDataPreprocessor(mean=[1.0] * 3, std=[1.0] * 3)
    with pytest.raises(InputError, match='3 numbers, but the images have 1 c'):
        preprocessor(batch)
    batch = collate(list(samples(views)))
    out = MultiViewDataPreprocessor(mean=1.0, std=[2.0])(batch)
    assert out['inputs'].flatten()[0] == -0.5


def test_mixing_takes_the_number_of_classes_from_the_data():
    mixup = dict(augments=dict(type='Mixup', alpha=0.8))
    info = ClassInfo([4, 2, 1])
    preprocessor = MultiViewDataPreprocessor(batch_augments=mixup)
    preprocessor.set_class_info(info)
    batch = default_collate(list(samples(views=0)))
    out = preprocessor(batch, training=True)
    assert out['data_samples'][0].gt_score.shape == (3,)
    preprocessor = MultiViewDataPreprocessor(
        num_classes=4, batch_augments=mixup
    )
    message = 'data_preprocessor.num_classes is 4, but there are 3 classes'
    with pytest.raises(InputError, match=message):
        preprocessor.set_class_info(info)
    MultiViewDataPreprocessor(num_classes=4).set_class_info(info)  # unused


def test_mixing_refuses_labels_that_are_no_classes():
    mixup = dict(augments=dict(type='Mixup', alpha=0.8))
    batch = default_collate(list(samples(views=0)))
    with pytest.raises(InputError, match='num_classes, or ClassInfoHook'):
        MultiViewDataPreprocessor(batch_augments=mixup)(batch, training=True)
    preprocessor = MultiViewDataPreprocessor(
        num_classes=3, batch_augments=mixup
    )
    batch['data_samples'][1].set_gt_label(3)
    with pytest.raises(InputError, match=r'labels must be in \[0, 3\), got 3'):
        preprocessor(batch, training=True)
    unlabelled = dict(batch, data_samples=None)
    assert preprocessor(unlabelled)['data_samples'] is None


class HostOperators(TorchDispatchMode):
    """Remembers what runs on tensors of the host: name, shapes, options."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        listed = [
            x for arg in args for x in (arg if type(arg) is list else [arg])
        ]
        shapes = [x.shape for x in listed if torch.is_tensor(x) and x.is_cpu]
        if shapes:
            self.found.append((func.overloadpacket.__name__, shapes, kwargs))
        return func(*args, **kwargs)


@pytest.mark.parametrize('collate', [default_collate, pseudo_collate])
@pytest.mark.parametrize('views', [0, 3])
@pytest.mark.parametrize('soft', [False, True])
def test_images_move_as_the_loader_pinned_them(collate, views, soft):
    batch = collate(list(samples(views)))
    if soft:
        for sample in batch['data_samples']:
            sample.set_gt_score(torch.ones(7) / 7)
    preprocessor = MultiViewDataPreprocessor(mean=1.0, std=2.0, to_rgb=True)
    preprocessor.to('meta')  # a device that is not the host
    with HostOperators() as operators:
        out = preprocessor(batch, training=True)
    assert out['inputs'].shape == (3 * max(views, 1), 3, 4, 4)
    assert all(s.gt_label.is_meta for s in out['data_samples'])
    of_images = {n for n, shapes, _ in operators.found if len(shapes[0]) > 2}
    assert of_images - {'unbind'} == {'_to_copy'}  # no cat, no stack
    copies = [
        (len(shapes[0]), options)
        for name, shapes, options in operators.found
        if name == '_to_copy'
    ]
    for _, options in copies:
        assert options['device'].type == 'meta'
        assert options['non_blocking']
    # Labels and scores of the batch in one copy each.
    assert sum(ndim < 3 for ndim, _ in copies) == 1 + soft


def test_copies_may_be_waited_for():
    preprocessor = MultiViewDataPreprocessor(non_blocking=False).to('meta')
    with HostOperators() as operators:
        preprocessor(default_collate(list(samples(views=2))))
    waited = [o for name, _, o in operators.found if name == '_to_copy']
    assert waited
    assert not any(options.get('non_blocking') for options in waited)


def test_samples_of_which_some_are_soft_all_move():
    batch = default_collate(list(samples(views=2)))
    batch['data_samples'][2].set_gt_score(torch.ones(7) / 7)
    out = MultiViewDataPreprocessor().to('meta')(batch)
    assert out['data_samples'][2].gt_score.is_meta
    assert 'gt_score' not in out['data_samples'][0]
