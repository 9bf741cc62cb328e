"""Names of metrics are known before the training."""

import numpy as np
import pytest
from mmengine.evaluator import Evaluator
from mmengine.hooks import CheckpointHook
from mmpretrain.evaluation import Accuracy

from bcl_mm.engine.hooks import EarlyStoppingHook
from bcl_mm.engine.metric_names import check_metric_names
from bcl_mm.evaluation import CalibrationError, ShotAccuracy, SimplexGeometry
from bcl_mm.utils.errors import InputValueError
from tests.engine.hooks.common import INFO_HOOKS, make

COUNTS = [200, 60, 30]


def check(*metrics, save_best=None, labels=(0, 1, 1, 2), rule='greater'):
    hook = CheckpointHook(save_best=save_best, rule=rule)
    evaluator = Evaluator(list(metrics))
    check_metric_names(evaluator, np.array(labels), len(COUNTS), [hook])
    assert all(not metric.results for metric in metrics)


def shot(**options):
    return ShotAccuracy(class_counts=COUNTS, **options)


def test_what_there_will_be():
    best = ['accuracy/top1', 'accuracy/medium', 'accuracy/class_2']
    check(shot(per_class=True), save_best=best)
    check(shot(topk=(1, 2)), save_best='accuracy/top2')
    check(shot(), save_best='auto')
    check(
        shot(), Accuracy(topk=(1, 3), prefix='stock'), save_best='stock/top3'
    )
    # What examines the model cannot be known.
    geometry = SimplexGeometry()
    check(shot(), geometry, save_best=f'{geometry.prefix}/nc1', rule='less')


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        (
            'accuracy/tpo1',
            "is 'accuracy/top1' meant\\? There are accuracy/bal",
        ),
        ('accuracy/few', "save_best names 'accuracy/few', which no metric"),
        ('accuracy/class_2', "names 'accuracy/class_2', which no metric"),
        ('top1', "'top1', which no metric will give"),
    ],
)
@pytest.mark.parametrize('more', [[], [SimplexGeometry]])
def test_what_there_will_not_be(name, message, more):
    with pytest.raises(InputValueError, match=message):
        check(shot(), *(kind() for kind in more), save_best=name)
    with pytest.raises(InputValueError, match=message):
        check(shot(), save_best=['accuracy/top1', name])


def test_early_stopping_needs_its_figure():
    evaluator, labels = Evaluator([shot()]), np.array([0, 1, 2])
    for name in ('accuracy/balanced', 'accuracy/few'):
        hooks = [EarlyStoppingHook(name)]
        if name == 'accuracy/balanced':
            check_metric_names(evaluator, labels, len(COUNTS), hooks)
            continue
        message = "monitor names 'accuracy/few', which no metric"
        with pytest.raises(InputValueError, match=message):
            check_metric_names(evaluator, labels, len(COUNTS), hooks)


def test_groups_without_tested_classes():
    with pytest.raises(InputValueError, match="'accuracy/medium', which no"):
        check(shot(), save_best='accuracy/medium', labels=[0])


def test_two_metrics_of_one_name():
    message = 'Accuracy and another .* both give accuracy/top1: .* prefix'
    with pytest.raises(InputValueError, match=message):
        check(shot(), Accuracy(topk=(1, 3)))
    with pytest.raises(InputValueError, match='ShotAccuracy and another'):
        check(shot(), shot())
    check(shot(), CalibrationError(class_counts=COUNTS))


def test_training_and_testing_refuse_it_at_the_start(tmp_path):
    checkpoint = dict(type='CheckpointHook', save_best='accuracy/tpo1')
    checkpoint['rule'] = 'greater'
    hooks = dict(INFO_HOOKS, checkpoint=checkpoint)
    runner = make(tmp_path, default_hooks=hooks)
    with pytest.raises(InputValueError, match="is 'accuracy/top1' meant"):
        runner.train()
    assert runner.iter == 0
    twice = [dict(type='bcl_mm.ShotAccuracy', class_counts=[1] * 10)] * 2
    head = dict(class_counts=[1] * 10)
    runner = make(tmp_path / 'test', head=head, test_evaluator=twice)
    with pytest.raises(InputValueError, match='both give accuracy/balanced'):
        runner.test()
