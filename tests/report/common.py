"""Small evaluations and runs for the tests of the report."""

from pathlib import Path

import numpy as np
from mmengine.config import Config

from bcl_mm.apis.runs import TrainedRun
from bcl_mm.report.evaluation import Evaluation
from bcl_mm.report.maps import block_cosines, choose_shown
from bcl_mm.report.summary import Method

# Of 4 classes (many, medium, few, few) with 4 test images each.
COUNTS = np.array([200, 50, 5, 4])
LABELS = np.repeat(np.arange(4), 4)
PREDICTIONS = np.array([0, 0, 0, 0, 1, 1, 1, 0, 2, 0, 0, 0, 3, 3, 2, 1])


def evaluation(
    predictions=PREDICTIONS, labels=LABELS, counts=COUNTS, **kwargs
):
    random = np.random.RandomState(0)
    num_classes = len(counts)
    shown = choose_shown(labels, counts)
    means = random.normal(size=(num_classes, 8))
    figures = dict(features_nc1=0.5, projected_nc3=0.25)
    values = dict(
        confidences=np.linspace(0.1, 0.9, len(labels)),
        classes=[f'class {i}' for i in range(num_classes)],
        geometry={f'geometry/{k}': v for k, v in figures.items()},
        cosines=dict(
            features=block_cosines(means, np.argsort(-counts, kind='stable'))
        ),
        shown=shown,
        embedding=random.normal(size=(len(shown), 2)),
    )
    return Evaluation(
        labels=labels,
        predictions=predictions,
        class_counts=counts,
        **{**values, **kwargs},
    )


def trained_run(name='cross-entropy', seed=0, **settings):
    cfg = Config(
        dict(method_name=name, randomness=dict(seed=seed), **settings)
    )
    return TrainedRun(
        Path(f'{name}_{seed}'), Path('a_b.py'), Path('epoch_1.pth'), cfg
    )


def one_method(*predictions):
    runs = [trained_run(seed=i) for i in range(len(predictions))]
    return Method('cross-entropy', runs, [evaluation(p) for p in predictions])


def method_of(name, figures, cost=None, **settings):
    """A method with these figures of its seeds, and this cost of each.

    ``figures`` maps a figure to its values, one for each seed.
    """
    number = len(next(iter(figures.values())))
    runs = [trained_run(name, seed, **settings) for seed in range(number)]
    method = Method(name, runs, [evaluation()] * number)
    method.figures = [
        {key: values[i] for key, values in figures.items()}
        for i in range(number)
    ]
    method.cost = cost
    return method
