import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import METRICS
from mmpretrain.evaluation import Accuracy
from mmpretrain.structures import DataSample

from bcl_mm.classes import ClassInfo
from bcl_mm.evaluation import ShotAccuracy
from bcl_mm.utils.errors import InputError

COUNTS = [500, 200, 50, 5, 3]
# Two test images per class, of which 2, 1, 1, 0 and 1 are correct.
LABELS = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
PREDICTIONS = [0, 0, 1, 0, 2, 1, 0, 0, 4, 0]
EXPECTED = dict(
    top1=50.0,
    many=75.0,
    medium=50.0,
    few=25.0,
    balanced=50.0,  # (100 + 50 + 50 + 0 + 50) / 5
    harmonic=0.0,  # class 3 has an accuracy of 0
    # Class 3 counts as 0.1 %.
    geometric=pytest.approx((100 * 50 * 50 * 0.1 * 50) ** (1 / 5)),
    worst=0.0,
)


def data_samples(predictions=PREDICTIONS, labels=LABELS):
    return [
        DataSample()
        .set_gt_label(label)
        .set_pred_label(prediction)
        .set_pred_score(torch.eye(5)[prediction])
        for prediction, label in zip(predictions, labels)
    ]


def test_by_hand():
    assert ShotAccuracy.calculate(PREDICTIONS, LABELS, COUNTS) == EXPECTED


def test_group_is_the_mean_of_its_classes():
    # Class 0 has 3 images, all correct; class 1 has one, wrong.
    metrics = ShotAccuracy.calculate([0, 0, 0, 0], [0, 0, 0, 1], [500, 500])
    assert (metrics['top1'], metrics['many']) == (75.0, 50.0)
    assert metrics['balanced'] == 50.0


def test_summaries_by_hand():
    # 2 of 2, 1 of 2 and 1 of 4 are correct: 100 %, 50 % and 25 %.
    labels = [0, 0, 1, 1, 2, 2, 2, 2]
    metrics = ShotAccuracy.calculate([0, 0, 1, 0, 2, 0, 0, 0], labels, [9] * 4)
    assert metrics == dict(
        top1=50.0,  # 4 of 8
        few=pytest.approx(175 / 3),
        balanced=pytest.approx(175 / 3),
        harmonic=pytest.approx(300 / 7),  # 3 / (1 + 2 + 4)
        geometric=pytest.approx(50.0),  # (100 * 50 * 25)^(1/3)
        worst=25.0,
    )
    # Equal accuracies: all means are equal.
    metrics = ShotAccuracy.calculate([0] * 7, [0] * 7, [9] * 4)
    assert list(metrics.values()) == pytest.approx([100.0] * len(metrics))


def test_empty_groups_and_untested_classes_are_left_out():
    metrics = ShotAccuracy.calculate(
        np.array([0, 2]), np.array([0, 0]), COUNTS, per_class=True
    )
    means = 'balanced', 'harmonic', 'geometric'
    names = 'top1', 'many', *means, 'worst', 'class_0'
    assert metrics == pytest.approx(dict.fromkeys(names, 50.0))


def test_in_an_evaluator():
    metric = METRICS.build(
        dict(type='bcl_mm.ShotAccuracy', per_class=True, class_counts=COUNTS)
    )
    evaluator = Evaluator(metric)
    samples = data_samples()
    evaluator.process(samples[:3])
    evaluator.process(samples[3:])
    metrics = evaluator.evaluate(len(samples))
    expected = {f'accuracy/{name}': v for name, v in EXPECTED.items()}
    expected.update(
        {
            f'accuracy/class_{i}': v
            for i, v in enumerate([100.0, 50.0, 50.0, 0.0, 50.0])
        }
    )
    assert metrics == expected


def test_padded_duplicates_do_not_count():
    evaluator = Evaluator(ShotAccuracy(class_counts=COUNTS))
    samples = data_samples()
    evaluator.process(samples + samples[:3])
    assert evaluator.evaluate(len(samples))['accuracy/top1'] == 50.0


def test_missing_counts_say_how_to_give_them():
    metric = ShotAccuracy()
    with pytest.raises(ValueError, match=r'needs class_counts.*ClassInfo'):
        Evaluator(metric).process(data_samples())
    metric.set_class_info(ClassInfo(COUNTS))
    Evaluator(metric).process(data_samples())


def test_contradicting_counts():
    metric = ShotAccuracy(class_counts=COUNTS)
    with pytest.raises(ValueError, match='ShotAccuracy contradicts .*class 2'):
        metric.set_class_info(ClassInfo([500, 200, 51, 5, 3]))


def test_labels_out_of_range():
    with pytest.raises(ValueError, match=r'\[0, 5\), got 5 at sample 1'):
        ShotAccuracy.calculate([0, 0], [0, 5], COUNTS)


def test_thresholds():
    metrics = ShotAccuracy.calculate(PREDICTIONS, LABELS, COUNTS, 49, 5)
    groups = metrics['many'], metrics['medium'], metrics['few']
    assert groups == (200 / 3, 0.0, 50.0)
    with pytest.raises(ValueError, match='few must be <= many'):
        ShotAccuracy(many=10, few=20)


def test_top_k_is_that_of_mmpretrain():
    labels = torch.arange(40) % 5
    scores = torch.rand(40, 5, generator=torch.Generator().manual_seed(1))
    samples = [
        dict(gt_label=label, pred_label=row.argmax()[None], pred_score=row)
        for label, row in zip(labels[:, None], scores)
    ]
    metric = ShotAccuracy(topk=(1, 3, 2), class_counts=COUNTS)
    evaluator = Evaluator([metric, Accuracy(topk=(1, 2, 3), prefix='stock')])
    evaluator.process(samples[:7])
    evaluator.process(samples[7:])
    metrics = evaluator.evaluate(40)
    for k in (1, 2, 3):
        stock = metrics[f'stock/top{k}']
        assert metrics[f'accuracy/top{k}'] == pytest.approx(stock)
    assert metrics['accuracy/top1'] < metrics['accuracy/top2'] < 100


@pytest.mark.parametrize(
    ('topk', 'message'),
    [
        (0, 'topk must be >= 1, got 0'),
        ((1, '5'), "topk must be a whole number, got '5'"),
        (6, 'topk must be <= 5, got 6'),
    ],
)
def test_wrong_ranks(topk, message):
    with pytest.raises(InputError, match=message):
        ShotAccuracy(topk=topk, class_counts=COUNTS)
