import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS, DefaultScope

from bcl_mm.models.heads import BCLHead
from tests import oracles
from tests.models.head import COUNTS, batch, make


@pytest.mark.parametrize('classifier', ['cosine', 'linear'])
def test_one_step_equals_the_definition(classifier):
    """One training step of head and losses, from weights to gradients."""
    labels = [0, 0, 1, 4]
    head = make(
        classifier=classifier, scale=16.0, cls_weight=2.0, con_weight=0.6
    )
    feats, samples = batch(labels)
    losses = head.loss(feats, samples)
    total = losses['loss_cls'] + losses['loss_con']
    parameters = [feats[0], *head.parameters()]
    ours = torch.autograd.grad(total, parameters)

    def projected(layers, rows):
        hidden = rows @ layers[0].weight.T + layers[0].bias
        mean = hidden.mean(0)
        variance = ((hidden - mean) ** 2).mean(0)
        hidden = (hidden - mean) / (variance + layers[1].eps).sqrt()
        hidden = (hidden * layers[1].weight + layers[1].bias).relu()
        rows = hidden @ layers[3].weight.T + layers[3].bias
        return rows / rows.norm(dim=1, keepdim=True)

    weight = head.classifier.weight
    if classifier == 'cosine':
        unit = weight / weight.norm(dim=1, keepdim=True)
        view = feats[0][:4]
        logits = 16 * (view / view.norm(dim=1, keepdim=True)) @ unit.T
    else:
        logits = feats[0][:4] @ weight.T + head.classifier.bias
    loss_cls = oracles.logit_adjusted(logits, labels, COUNTS, 1.0)
    z = projected(head.projection.projector, feats[0])[4:]
    prototypes = projected(head.projection.prototype_projector, weight)
    loss_con = oracles.balanced_contrastive(z, labels * 2, prototypes)
    # log_prior is a float32 buffer.
    assert torch.allclose(losses['loss_cls'], 2.0 * loss_cls, rtol=1e-6)
    assert torch.allclose(losses['loss_con'], 0.6 * loss_con, rtol=1e-9)
    expected = torch.autograd.grad(2.0 * loss_cls + 0.6 * loss_con, parameters)
    for got, want in zip(ours, expected):
        assert torch.allclose(got, want, rtol=1e-5, atol=1e-7)
    assert losses['batch_classes'] == 3
    assert losses['batch_coverage'] == 3 / head.num_classes


def test_prototypes_are_classes_not_feature_dimensions():
    # As many classes as features: a transposed weight would go unnoticed.
    for classifier in ('cosine', 'linear'):
        head = make(num_classes=6, class_counts=None, classifier=classifier)
        head.eval()
        before = head.projection.prototypes(head.class_vectors())
        with torch.no_grad():
            head.classifier.weight[2] += 1
        changed = (
            head.projection.prototypes(head.class_vectors()) != before
        ).any(dim=1)
        assert changed.tolist() == [i == 2 for i in range(6)]


def test_every_contrastive_view_is_an_anchor():
    head = make()
    feats, samples = batch([0, 1, 2], views=4)
    loss = head.loss(feats, samples)['loss_con']
    (grad,) = torch.autograd.grad(loss, feats[0])
    assert (grad.abs().sum(1) > 0).all()
    z = head.projection.project(feats[0])[3:]
    assert len(z) == 9
    expected = oracles.balanced_contrastive(
        z, [0, 1, 2] * 3, head.projection.prototypes(head.class_vectors())
    )
    assert torch.allclose(loss, 0.35 * expected, rtol=1e-9)


def test_view_zero_is_classified():
    head = make(loss_con=None)
    feats, samples = batch([0, 1, 2])
    loss = head.loss(feats, samples)
    assert set(loss) == {'loss_cls'}
    (grad,) = torch.autograd.grad(loss['loss_cls'], feats[0])
    assert (grad[:3] != 0).any(dim=1).all()
    assert not grad[3:].any()


def test_baseline_is_the_same_head_with_one_entry_changed():
    head = make(loss_con=None)
    assert head.projection is None
    names = {name for name, _ in head.named_parameters()}
    assert names == {'classifier.weight'}
    feats, samples = batch([0, 1], views=1)
    assert head.loss(feats, samples)['loss_cls'].isfinite()


def test_mmpretrains_losses_fit():
    head = make(
        loss_cls=dict(type='mmpretrain.CrossEntropyLoss'), loss_con=None
    )
    feats, samples = batch([0, 1, 4], views=1)
    expected = F.cross_entropy(head(feats), torch.tensor([0, 1, 4]))
    assert torch.allclose(head.loss(feats, samples)['loss_cls'], expected)


def test_complement_off_for_good_and_for_a_while():
    feats, samples = batch([0, 1, 1, 4])
    ablation = make(
        loss_con=dict(
            type='bcl_mm.BalancedContrastiveLoss', class_complement=False
        )
    )
    assert ablation.projection.prototype_projector is None
    head = make()
    head.projection.set_class_complement(False)
    loss = head.loss(feats, samples)['loss_con']
    z = head.projection.project(feats[0])[4:]
    expected = oracles.balanced_contrastive(z, [0, 1, 1, 4] * 2)
    assert torch.allclose(loss, 0.35 * expected, rtol=1e-9)
    # DDP waits for every gradient.
    loss.backward()
    for parameter in head.projection.prototype_projector.parameters():
        assert parameter.grad is not None
        assert not parameter.grad.any()
    head.projection.set_class_complement(True)
    assert head.loss(feats, samples)['loss_con'] != loss


def test_cosine_classifier_starts_with_unit_vectors():
    head = make(scale=16.0)
    assert torch.allclose(
        head.classifier.weight.norm(dim=1), torch.ones(5).double()
    )
    feats, _ = batch([0], views=1)
    assert head(feats).abs().max() <= 16


def test_predict_gives_plain_logits():
    head = make().eval()
    feats, samples = batch([0, 1], views=1)
    scores = torch.stack([s.pred_score for s in head.predict(feats, samples)])
    assert torch.allclose(scores, head(feats).softmax(1))


def test_soft_labels_reach_the_classification_loss():
    head = make(loss_con=None)
    feats, samples = batch([0, 1], views=1)
    hard = head.loss(feats, samples)['loss_cls']
    for sample in samples:
        sample.set_gt_score(F.one_hot(sample.gt_label[0], 5).float())
    assert torch.allclose(head.loss(feats, samples)['loss_cls'], hard)


@pytest.mark.parametrize('views', [1, 2])
def test_too_few_views(views):
    with pytest.raises(
        ValueError, match=f'3 views of each image, got {views}'
    ):
        make().loss(*batch([0, 1], views=views))


def test_rows_must_be_whole_views():
    (features,), samples = batch([0, 1])
    with pytest.raises(ValueError, match='5 rows of features are not a whole'):
        make().loss((features[:5],), samples)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(num_classes=1), 'num_classes must be >= 2, got 1'),
        (dict(classifier='mlp'), "classifier must be .*, got 'mlp'"),
        (dict(scale=0.0), 'scale must be > 0, got 0.0'),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_norm_of_the_projectors():
    assert isinstance(
        make(norm_cfg=None).projection.projector[1], torch.nn.Identity
    )
    layer = make(norm_cfg=dict(type='LN')).projection.projector[1]
    assert isinstance(layer, torch.nn.LayerNorm)


def test_is_found_from_any_default_scope():
    for scope in ('mmengine', 'mmpretrain', 'mmdet'):
        with DefaultScope.overwrite_default_scope(scope):
            head = MODELS.build(
                dict(type='bcl_mm.BCLHead', num_classes=3, in_channels=4)
            )
        assert isinstance(head, BCLHead)


def test_autocast_step_is_finite():
    head = make().float()
    (features,), samples = batch([0, 1, 4])
    with torch.autocast('cpu', torch.bfloat16):
        losses = head.loss((features.float(),), samples)
    assert losses['loss_con'].dtype == torch.float32
    assert all(value.isfinite() for value in losses.values())


def test_all_views_classified():
    labels = [0, 0, 1, 4]
    head = make(loss_con=None, classify_all_views=True)
    feats, samples = batch(labels)
    ours = head.loss(feats, samples)['loss_cls']
    logits = head.classifier(feats[0])
    views = [
        oracles.logit_adjusted(logits[4 * v : 4 * v + 4], labels, COUNTS, 1.0)
        for v in range(3)
    ]
    assert torch.allclose(ours, sum(views) / 3, rtol=1e-6)
    first = make(loss_con=None)
    first.load_state_dict(head.state_dict())
    assert torch.allclose(
        first.loss(feats, samples)['loss_cls'], views[0], rtol=1e-6
    )
