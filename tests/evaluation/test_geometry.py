import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import METRICS, MODELS
from mmpretrain.structures import DataSample
from torch import nn

from bcl_mm.evaluation import SimplexGeometry
from bcl_mm.models.heads import BCLHead
from tests.engine.hooks.common import COUNTS, make
from tests.evaluation.common import (
    collapse_by_loops,
    regular_simplex,
    simplex_by_loops,
    skewed_images,
)

CONTRAST = dict(type='bcl_mm.BalancedContrastiveLoss')
EVALUATOR = [
    dict(type='bcl_mm.ShotAccuracy'),
    dict(type='bcl_mm.CalibrationError'),
    dict(type='bcl_mm.SimplexGeometry'),
]
OF_PAIRS = [
    'nc2_norms',
    'nc2_angles',
    'nc2_angles_std',
    'cosine_mean_gap',
    'cosine_std',
]


class Classifier(nn.Module):
    """A head, and features for a backbone."""

    def __init__(self, head):
        super().__init__()
        self.head = head.eval()

    def predict(self, features, labels):
        samples = [DataSample().set_gt_label(label) for label in labels]
        return self.head.predict((features,), samples)


def mmpretrain_head(kind, **options):
    head = dict(
        type=f'mmpretrain.{kind}',
        num_classes=7,
        in_channels=4,
        loss=dict(type='mmpretrain.CrossEntropyLoss'),
    )
    return MODELS.build({**head, **options}).double()


def linear_head(**options):
    return mmpretrain_head('LinearClsHead', **options)


def bcl_head(**options):
    head = BCLHead(7, 4, hidden_channels=6, out_channels=5, **options)
    for module in head.modules():  # not the statistics that it starts with
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return head.double()


def images(**options):
    features, labels = skewed_images(**options)
    return torch.as_tensor(features), torch.as_tensor(labels)


@torch.no_grad()
def evaluate(metric, head, features, labels, batch_size=30, size=None):
    model = Classifier(head)
    metric.set_model(model)
    evaluator = Evaluator(metric)
    for start in range(0, len(labels), batch_size):
        rows = slice(start, start + batch_size)
        evaluator.process(model.predict(features[rows], labels[rows]))
    return evaluator.evaluate(len(labels) if size is None else size)


def named(name, figures):
    return {f'geometry/{name}_{key}': v for key, v in figures.items()}


@torch.no_grad()
def by_loops(head, features, labels, num_classes=7):
    """What BCLHead with prototypes should give."""
    projected = head.projection.project(features).double().numpy()
    prototypes = (
        head.projection.prototypes(head.class_vectors()).double().numpy()
    )
    weight = head.classifier.weight
    if head.classifier.scale is not None:
        weight = weight / (weight**2).sum(dim=1, keepdim=True) ** 0.5
    weight, features = weight.double().numpy(), features.double().numpy()
    labels = np.asarray(labels)
    of_features = collapse_by_loops(features, labels, num_classes, weight)
    of_projected = collapse_by_loops(
        projected, labels, num_classes, prototypes
    )
    of_prototypes = simplex_by_loops(list(prototypes), num_classes)
    return {
        **named('features', of_features),
        **named('projected', of_projected),
        **named('prototypes', of_prototypes),
    }


@pytest.mark.parametrize('classifier', ['cosine', 'linear'])
@pytest.mark.parametrize('tested', [None, [6, 1, 2]])
def test_bcl_head_against_loops(classifier, tested):
    head = bcl_head(classifier=classifier)
    features, labels = images(tested=tested)
    metric = METRICS.build(dict(type='bcl_mm.SimplexGeometry'))
    found = evaluate(metric, head, features, labels)
    expected = by_loops(head.eval(), features, labels)
    assert found == pytest.approx(expected, rel=1e-9)
    # What a report draws.
    assert set(metric.moments) == set(metric.prototypes)
    with torch.no_grad():
        projected = head.projection.project(features).numpy()
        prototypes = head.projection.prototypes(head.class_vectors()).numpy()
    mean = projected[labels == 1].mean(axis=0)
    assert metric.moments['projected'].means[1] == pytest.approx(mean)
    assert metric.prototypes['projected'] == pytest.approx(prototypes)


def test_mmpretrains_head_against_loops():
    head = linear_head()
    features, labels = images()
    found = evaluate(SimplexGeometry(prefix='test'), head, features, labels)
    weight = head.fc.weight.detach().numpy()
    expected = collapse_by_loops(features.numpy(), labels.numpy(), 7, weight)
    assert found == pytest.approx(
        {f'test/features_{name}': v for name, v in expected.items()}, rel=1e-9
    )


def test_a_simplex_gives_zeros():
    corners = torch.as_tensor(regular_simplex(7, 9))
    head = linear_head(in_channels=9)
    with torch.no_grad():
        head.fc.weight.copy_(2 * corners)
    labels = torch.arange(70) % 7
    found = evaluate(SimplexGeometry(), head, corners[labels], labels)
    assert len(found) == 7
    assert found == pytest.approx(dict.fromkeys(found, 0), abs=1e-12)


def test_heads_without_prototypes_or_class_vectors():
    features, labels = images()

    def names(head):
        found = evaluate(SimplexGeometry(), head, features, labels)
        return {name.removeprefix('geometry/') for name in found}

    def expected(name, *others):
        return {f'{name}_{figure}' for figure in (*OF_PAIRS, *others)}

    plain = expected('features', 'nc1', 'nc3')
    assert names(bcl_head(loss_con=None)) == plain
    supcon = dict(CONTRAST, class_complement=False)
    projected = expected('projected', 'nc1')
    assert names(bcl_head(loss_con=supcon)) == plain | projected
    # Its classifier is neither 'classifier' nor 'fc'.
    head = mmpretrain_head('VisionTransformerClsHead')
    head.pre_logits = lambda feats: feats[-1]
    assert names(head) == expected('features', 'nc1')


def test_half_precision_is_summed_in_double():
    # Sums of 1 + 1/128 in bfloat16 end at 256.
    features = torch.full((700, 4), 1 + 2**-7, dtype=torch.bfloat16)
    labels = torch.arange(700) % 2
    features[labels == 1] *= -1
    metric = SimplexGeometry()
    evaluate(metric, linear_head().bfloat16(), features, labels)
    moments = metric.moments['features']
    assert moments.sums[0].tolist() == [350 * (1 + 2**-7)] * 4
    assert (moments.within == 0).all()


def test_batches_and_evaluations_are_independent():
    head = bcl_head()
    features, labels = images()
    metric = SimplexGeometry()
    expected = evaluate(metric, head, features, labels)
    for batch_size in (1, 7, 200):
        found = evaluate(metric, head, features, labels, batch_size)
        assert found == pytest.approx(expected, rel=1e-9)
    # Another set, then the first one: nothing is left of what came before,
    # nor of an evaluation that was broken off.
    evaluate(metric, head, *images(seed=1))
    metric.set_model(Classifier(head))
    head((features,))
    assert evaluate(metric, head, features, labels) == expected
    assert not head._forward_hooks


def test_errors():
    head, (features, labels) = linear_head(), images()
    model, metric = Classifier(head), SimplexGeometry()
    samples = model.predict(features, labels)
    message = r'needs the model: put MetricModelHook .*set_model\(model\)'
    with pytest.raises(ValueError, match=message):
        Evaluator(metric).process(samples)
    evaluate(metric, head, features, labels)
    with pytest.raises(ValueError, match=message):  # each time anew
        Evaluator(metric).process(samples)
    with pytest.raises(ValueError, match=r'saw \[0\] images'):
        metric.evaluate(len(labels))
    for model, name in (
        (nn.Linear(2, 2), 'Linear with head NoneType'),
        (Classifier(nn.Linear(2, 2)), 'Classifier with head Linear'),
    ):
        with pytest.raises(ValueError, match=f'pre_logits, .*got {name}'):
            metric.set_model(model)
    metric.set_model(Classifier(head))
    head.predict((features,))
    head.predict((features,))
    with pytest.raises(ValueError, match='saw 400 rows for 200 images'):
        Evaluator(metric).process(samples)
    for size in (199, 201):
        message = rf'saw \[200\] images on 1 processes, .*test set of {size}'
        with pytest.raises(ValueError, match=message):
            evaluate(metric, head, features, labels, size=size)
        assert not head._forward_hooks
    features[3] = torch.nan
    with pytest.raises(ValueError, match='features must be finite'):
        evaluate(metric, head, features, labels)


def test_features_that_are_maps_are_an_error():
    message = r'features must be .*\(29, 2\), got \(29, 4, 2, 2\)'
    head = linear_head()
    head.fc = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, 7))
    maps = torch.zeros(30, 4, 2, 2)
    with pytest.raises(ValueError, match=message):
        evaluate(SimplexGeometry(), head.float(), maps, torch.arange(30) % 7)


def test_a_trained_bcl_model(tmp_path):
    """From validations in training, with EMA, and from a test."""
    head = dict(loss_con=CONTRAST, hidden_channels=8, out_channels=5)
    views = dict(type='mmpretrain.MultiView', num_views=3, transforms=[[]])
    pipeline = [views, dict(type='mmpretrain.PackInputs')]
    runner = make(
        tmp_path / 'trained',
        head=head,
        custom_hooks=[dict(type='EMAHook')],
        val_evaluator=EVALUATOR,
    )
    runner._train_dataloader['dataset']['dataset']['pipeline'] = pipeline
    runner.train()
    assert not runner.model.head._forward_hooks
    geometry = runner.val_evaluator.metrics[-1]
    assert geometry.moments['projected'].counts.tolist() == [50] * 10

    runner = make(
        tmp_path / 'test',
        head=head,
        load_from=str(tmp_path / 'trained' / 'epoch_2.pth'),
        test_evaluator=EVALUATOR,
    )
    found = runner.test()
    assert {f'calibration/ece{g}' for g in ('', '_many', '_few')} < set(found)
    # The same from all images at once.
    loader, model = runner.test_dataloader, runner.model
    features, labels = [], []
    with torch.no_grad():
        for batch in loader:
            data = model.data_preprocessor(batch)
            features.append(model.extract_feat(data['inputs'])[-1])
            labels += [
                sample.gt_label.item() for sample in data['data_samples']
            ]
    expected = by_loops(model.head, torch.cat(features), labels, 10)
    for name, value in expected.items():
        # (In single precision, with other batches.)
        assert found[name] == pytest.approx(value, rel=1e-4), name


def test_a_checkpoint_without_projector_is_refused_where_it_matters(tmp_path):
    make(tmp_path / 'trained').train()
    head = dict(loss_con=CONTRAST, class_counts=COUNTS)
    runner = make(
        tmp_path / 'test',
        head=head,
        load_from=str(tmp_path / 'trained' / 'epoch_2.pth'),
        test_evaluator=EVALUATOR,
    )
    with pytest.raises(
        ValueError, match='head.branches.con.projector.0.weight is missing'
    ):
        runner.test()
