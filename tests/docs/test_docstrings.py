"""The examples in docstrings of what is public are there, and are right."""

import doctest
import inspect
import shutil

import pytest

from bcl_mm import config_path, datasets, evaluation, models
from bcl_mm.apis.calibration import Calibration, calibrate, read_calibration
from bcl_mm.apis.conversion import convert_checkpoint
from bcl_mm.apis.data_check import check_datasets
from bcl_mm.apis.export import export_model
from bcl_mm.apis.inference import (
    Prediction,
    Predictor,
    class_names,
    list_images,
    load_model,
)
from bcl_mm.apis.records import Record, read_records
from bcl_mm.apis.runs import TrainedRun, find_runs
from bcl_mm.apis.training import open_config, train
from bcl_mm.classes import ClassInfo, bincount_labels, labels_of, shot_groups
from bcl_mm.datasets import transforms
from bcl_mm.datasets.long_tail import long_tail_counts
from bcl_mm.datasets.samplers import ClassBalancedSampler
from bcl_mm.datasets.transforms.loading import LoadImageFromFile
from bcl_mm.engine.sam import SAMOptimWrapper
from bcl_mm.engine.schedules import ShiftedCosineLR, WarmUpLR
from bcl_mm.models import losses
from bcl_mm.models.losses.base import (
    ClassCountsLoss,
    ClassificationLoss,
    ScaledLoss,
)
from bcl_mm.utils.errors import InputError

ROOMS = [losses, models, datasets, transforms, evaluation]
PUBLIC = {name: getattr(room, name) for room in ROOMS for name in room.__all__}
for item in (
    *(ClassInfo, shot_groups, labels_of, bincount_labels, long_tail_counts),
    *(ClassificationLoss, ClassCountsLoss, ScaledLoss, ClassBalancedSampler),
    *(config_path, open_config, check_datasets, list_images),
    *(Record, read_records, Prediction, Calibration, convert_checkpoint),
    *(LoadImageFromFile, SAMOptimWrapper, ShiftedCosineLR, WarmUpLR),
    InputError,
):
    PUBLIC[item.__name__] = item
# Of the folder that train()'s example leaves.
OF_A_RUN = [
    *(find_runs, TrainedRun, load_model, class_names, Predictor),
    *(calibrate, read_calibration, export_model),
]


def run_example(item):
    scope = vars(inspect.getmodule(item))
    # Without its members: they are not what is named.
    finder = doctest.DocTestFinder(recurse=False)
    (test,) = finder.find(item, item.__name__, globs=dict(scope))
    assert test.examples, f'{item.__name__} has no Example'
    printed = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(test, out=printed.append)
    assert runner.failures == 0, ''.join(printed)


@pytest.mark.parametrize('name', PUBLIC)
def test_the_example_is_right(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_example(PUBLIC[name])


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Where the example of train() was run."""
    folder = tmp_path_factory.mktemp('trained')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_example(train)
    return folder


@pytest.mark.parametrize('item', OF_A_RUN, ids=lambda item: item.__name__)
def test_the_example_of_a_run_is_right(item, trained, tmp_path, monkeypatch):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    run_example(item)
