"""What the head refuses of a batch, and which losses it calls."""

import pytest
import torch
from mmpretrain.structures import DataSample

from bcl_mm.models import LongTailHead
from bcl_mm.utils import labels as checks
from tests.models.test_branches import echo

PLAIN = dict(type='mmpretrain.CrossEntropyLoss')


class OwnLoss(LongTailHead):
    """Computes its classification loss without a loss module."""

    def classification_loss(self, features, targets):
        return self.logits(features).logsumexp(1).mean() + 0 * targets.sum()


def samples(*labels, **fields):
    made = []
    for label in labels:
        sample = DataSample(**fields)
        if label is not None:
            sample.gt_label = torch.as_tensor(label)
        made.append(sample)
    return made


def losses(data_samples, rows=None, width=6, head=None, **scores):
    torch.manual_seed(0)
    head = head or LongTailHead(5, 6, loss_cls=PLAIN)
    for index, score in scores.items():
        data_samples[int(index[1:])].gt_score = torch.as_tensor(score)
    torch.manual_seed(1)
    rows = len(data_samples) if rows is None else rows
    return head.loss((torch.randn(rows, width),), data_samples)


def test_an_overridden_loss_is_called_without_a_loss_module():
    head = OwnLoss(5, 6, loss_cls=None, cls_weight=2.0)
    torch.manual_seed(1)
    expected = head.logits(torch.randn(2, 6)).logsumexp(1).mean()
    got = losses(samples([0], [1]), head=head)
    assert set(got) == {'loss_cls'}
    assert torch.allclose(got['loss_cls'], 2 * expected)
    head = LongTailHead(5, 6, loss_cls=None)
    head.classification_loss = lambda features, targets: features.sum()
    assert set(losses(samples([0]), head=head)) == {'loss_cls'}


def test_without_any_loss_there_is_nothing_to_train():
    head = LongTailHead(5, 6, loss_cls=None, branches=dict(echo=None))
    with pytest.raises(ValueError, match='LongTailHead has no loss to train'):
        losses(samples([0]), head=head)
    head = LongTailHead(5, 6, loss_cls=None, branches=dict(echo=echo()))
    assert set(losses(samples([0]), head=head)) == {'loss_echo'}


@pytest.mark.parametrize(
    'label, error, message',
    [
        (None, ValueError, 'one gt_label, of shape (1,), got none: a.png'),
        ([1, 2], ValueError, 'one gt_label, of shape (1,), got shape (2,)'),
        (1, ValueError, 'one gt_label, of shape (1,), got shape ()'),
        ([[1]], ValueError, 'one gt_label, of shape (1,), got shape (1, 1)'),
        ([1.0], TypeError, 'labels must be integers, got torch.float32'),
        ([True], TypeError, 'labels must be integers, got torch.bool'),
        ([5], ValueError, 'in [0, 5), got 5'),
        ([2**40], ValueError, f'in [0, 5), got {2**40}'),
    ],
)
def test_labels_of_samples(label, error, message):
    with pytest.raises(error) as caught:
        losses(samples([0], label, img_path='a.png'))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    'score, message',
    [
        ([0.5, 0.5, 0, 0], 'gt_score must have shape (5,).*got (4,)'),
        ([[0.5, 0.5, 0, 0, 0]], 'gt_score must have shape (5,)'),
        ([0.5, float('nan'), 0.5, 0, 0], 'must be >= 0 and sum to 1'),
        ([1.0, 1.0, 0, 0, 0], 'must be >= 0 and sum to 1'),  # two labels
        ([1.5, -0.5, 0, 0, 0], 'must be >= 0 and sum to 1'),
    ],
)
def test_soft_labels_of_samples(score, message, monkeypatch):
    with pytest.raises(ValueError) as caught:
        losses(samples([0], [1]), _1=score)
    for part in message.split('.*'):
        assert part in str(caught.value)
    if 'sum to 1' in message:  # the path of a GPU
        monkeypatch.setattr(checks, '_must_not_wait', lambda labels: True)
        assert losses(samples([0], [1]), _1=score)['loss_cls'].isnan()


def test_soft_labels_of_any_type_beside_hard_ones():
    mixed = [0.25, 0.75, 0, 0, 0]
    expected = losses(samples([0], [1]), _1=mixed)
    for kind in torch.float16, torch.float64:
        got = losses(samples([0], [1]), _1=torch.tensor(mixed, dtype=kind))
        assert torch.equal(got['loss_cls'], expected['loss_cls'])
    one_hot = losses(samples([0], [1]), _1=[0, 1, 0, 0, 0])
    hard = losses(samples([0], [1]))
    assert torch.allclose(one_hot['loss_cls'], hard['loss_cls'])


def test_features_that_do_not_fit_the_batch():
    with pytest.raises(ValueError, match='batch must have at least one sampl'):
        losses([])
    for rows in 0, 1, 3:
        with pytest.raises(ValueError, match=f'^{rows} rows of features are'):
            losses(samples([0], [1]), rows)
    message = r'in_channels=6\), got \(2, 7\)'
    with pytest.raises(ValueError, match=message):
        losses(samples([0], [1]), width=7)
    head = LongTailHead(5, 6)
    with pytest.raises(ValueError, match=r'got \(2, 6, 4, 4\).*Pooling'):
        head((torch.randn(2, 6, 4, 4),))


def test_targets_of_a_method_are_checked():
    class Shifted(LongTailHead):
        def targets(self, data_samples):
            return super().targets(data_samples) + 4

    head = Shifted(5, 6, loss_cls=PLAIN)
    with pytest.raises(ValueError, match=r'in \[0, 5\), got 5'):
        losses(samples([0], [1]), head=head)
