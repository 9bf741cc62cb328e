"""The examples in docstrings of what is public are there, and are right."""

import doctest
import inspect

import pytest

from bcl_mm import config_path, datasets, evaluation
from bcl_mm.apis.data_check import check_datasets
from bcl_mm.apis.inference import list_images
from bcl_mm.apis.records import read_records
from bcl_mm.apis.training import open_config
from bcl_mm.datasets.long_tail import long_tail_counts
from bcl_mm.datasets.samplers import ClassBalancedSampler
from bcl_mm.models import losses

# Classes to inherit from, or which need a model.
WITHOUT = {'ShotMetric', 'DumpPredictions', 'SimplexGeometry', 'Difference'}
PUBLIC = {
    name: getattr(room, name)
    for room in (losses, datasets, evaluation)
    for name in room.__all__
    if name not in WITHOUT
}
for item in (
    *(long_tail_counts, ClassBalancedSampler, config_path, open_config),
    *(check_datasets, list_images, read_records),
):
    PUBLIC[item.__name__] = item


@pytest.mark.parametrize('name', PUBLIC)
def test_the_example_is_right(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    item = PUBLIC[name]
    scope = vars(inspect.getmodule(item))
    # Without its members: they are not what is named.
    finder = doctest.DocTestFinder(recurse=False)
    (test,) = finder.find(item, name, globs=dict(scope))
    assert test.examples, f'{name} has no Example'
    printed = []
    runner = doctest.DocTestRunner()
    runner.run(test, out=printed.append)
    assert runner.failures == 0, ''.join(printed)
