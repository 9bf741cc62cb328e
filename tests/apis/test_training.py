"""Trainings from Python."""

import pytest
from mmengine.config import Config

from bcl_mm.apis.runner import build_runner
from bcl_mm.apis.training import open_config, train
from tests.cli.common import SHORT
from tests.conftest import ROOT

CONFIG = ROOT / 'configs' / 'ce_resnet8_digits_lt.py'


def test_a_config_without_a_file(tmp_path):
    cfg = Config(Config.fromfile(CONFIG).to_dict())
    assert open_config(cfg).work_dir == 'work_dirs/config'
    assert train(cfg, SHORT, tmp_path) == tmp_path
    assert (tmp_path / 'last_checkpoint').is_file()


@pytest.mark.long
def test_runs_of_one_second_share_nothing(tmp_path):
    names, hubs = set(), []
    for number in range(3):
        cfg = open_config(CONFIG, SHORT, tmp_path / str(number))
        runner = build_runner(cfg)
        names.add(runner.experiment_name)
        hubs.append(runner.message_hub)
    assert len(names) == 3
    assert len({id(hub) for hub in hubs}) == 3


@pytest.mark.long
def test_two_trainings_of_one_work_dir_have_two_logs(tmp_path):
    for _ in range(2):
        assert train(CONFIG, SHORT, tmp_path) == tmp_path
    assert len(list(tmp_path.glob('*/*.log'))) == 2
