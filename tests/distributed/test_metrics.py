"""Metrics of gloo ranks against those of one process."""

import os

import pytest
import torch
from mmengine.dataset import DefaultSampler

from bcl_mm.evaluation import CalibrationError, ShotAccuracy, SimplexGeometry
from tests.distributed.common import on_ranks
from tests.evaluation.test_geometry import Classifier, bcl_head, images

COUNTS = [200, 110, 90, 50, 20, 9, 3]
WORLD_SIZES = (2, 3)
# Of 2 and 3 ranks: none repeated, one, one and two; and fewer images than
# ranks.
SIZES = (60, 61, 62, 2)


def evaluate(size, seed=0, shuffle=False, round_up=True, extra=0):
    """The metrics of the images that the sampler gives to this process."""
    torch.manual_seed(0)
    model = Classifier(bcl_head())
    features, labels = images(num_images=size, seed=seed)
    labels[: size // 2] = labels[: size // 2].sort().values  # unlike shards
    sampler = DefaultSampler(
        range(size), shuffle=shuffle, seed=3, round_up=round_up
    )
    indices = list(sampler)
    indices += indices[:extra]
    metrics = [SimplexGeometry()]
    if round_up:  # others collect only as many images from each process
        metrics += [
            ShotAccuracy(class_counts=COUNTS),
            CalibrationError(class_counts=COUNTS),
        ]
    metrics[0].set_model(model)
    with torch.no_grad():
        for start in range(0, len(indices), 8):
            rows = indices[start : start + 8]
            samples = model.predict(features[rows], labels[rows])
            for metric in metrics:
                metric.process(None, [s.to_dict() for s in samples])
    found = {}
    for metric in metrics:
        found.update(metric.evaluate(size))
    return found, metrics[0].moments['projected']


CASES = {
    **{f'{size}': dict(size=size) for size in SIZES},
    **{f'{size} shuffled': dict(size=size, shuffle=True) for size in SIZES},
    **{f'{size} as it is': dict(size=size, round_up=False) for size in SIZES},
}


def evaluate_all(rank, world_size, folder):
    os.chdir(folder)  # where mmengine collects results
    found = {name: evaluate(**options) for name, options in CASES.items()}
    errors = []
    # More than is repeated, and not on the ranks that would repeat it.
    for extra in (world_size, int(rank == 0)):
        with pytest.raises(ValueError) as error:
            evaluate(size=60, extra=extra)
        errors.append(str(error.value))
    return found, errors


def test_ranks_give_what_one_process_gives(tmp_path):
    expected = {name: evaluate(**options) for name, options in CASES.items()}
    assert len(expected['60'][0]) > 20
    for world_size, ranks in on_ranks(
        evaluate_all, WORLD_SIZES, tmp_path
    ).items():
        each = 60 // world_size
        seen = [
            [each + world_size] * world_size,
            [each + 1, *[each] * (world_size - 1)],
        ]
        for found, errors in ranks:
            for name, (metrics, moments) in expected.items():
                assert found[name][0] == pytest.approx(
                    metrics, rel=1e-12, abs=1e-12
                ), (world_size, name)
                theirs = found[name][1]
                assert (theirs.counts == moments.counts).all()
                assert theirs.sums == pytest.approx(moments.sums, abs=1e-12)
            for counts, error in zip(seen, errors):
                assert f'saw {counts} images on {world_size} proc' in error
