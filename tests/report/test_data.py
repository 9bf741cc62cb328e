"""What is said of data and places, without folders of the machine."""

from pathlib import Path

import pytest
from mmengine.config import Config

from bcl_mm.report.data import (
    data_name,
    data_notes,
    length_notes,
    place_of_run,
)
from tests.report.common import method_of, trained_run

CUSTOM = dict(type='bcl_mm.CustomImages', data_root='/home/me/birds/')
DIGITS = dict(type='bcl_mm.Digits')


@pytest.mark.parametrize(
    ('dataset', 'name'),
    [
        (DIGITS, 'Digits'),
        (dict(type='bcl_mm.LongTailDataset', dataset=DIGITS), 'Digits-LT'),
        (CUSTOM, 'birds'),
        (dict(type='RepeatDataset', dataset=CUSTOM), 'birds'),
        (dict(type='ConcatDataset', datasets=[CUSTOM, DIGITS]), 'birds'),
        (dict(type='mmpretrain.CustomDataset'), 'CustomDataset'),
        (dict(type='bcl_mm.ImageNetLT', data_root='/x'), 'ImageNetLT'),
        (None, 'unknown data'),
    ],
)
def test_name_of_the_data(dataset, name):
    cfg = Config(dict(train_dataloader=dict(dataset=dataset)))
    assert data_name(cfg) == name


def test_name_without_a_training_set():
    assert data_name(Config(dict())) == 'unknown data'
    cfg = Config(dict(test_dataloader=dict(dataset=DIGITS)))
    assert data_name(cfg) == 'Digits'


def test_validation_on_the_test_set_is_said():
    loader = dict(dataset=DIGITS)
    same = trained_run(val_dataloader=loader, test_dataloader=loader)
    other = trained_run(
        val_dataloader=loader, test_dataloader=dict(dataset=CUSTOM)
    )
    (note,) = data_notes([same])
    assert note.startswith('Validation and test set are the same')
    assert data_notes([same, other]) == data_notes([other]) == []
    assert data_notes([trained_run()]) == []


def test_places(tmp_path):
    run = trained_run()
    run.folder = tmp_path / 'runs' / 'ce' / 'seed_0'
    run.checkpoint = run.folder / 'epoch_1.pth'
    assert place_of_run(run) == 'ce/seed_0/epoch_1.pth'
    # A run without training uses another's checkpoint.
    run.checkpoint = run.folder / '..' / 'first' / 'epoch_3.pth'
    assert place_of_run(run) == 'ce/first/epoch_3.pth'
    run.folder = Path('/')
    run.checkpoint = Path('/epoch_1.pth')
    assert place_of_run(run) == 'epoch_1.pth'


def test_unequal_lengths_are_told():
    def method(name, *lengths, **settings):
        found = method_of(name, dict(top1=[1.0] * len(lengths)), **settings)
        for run, length in zip(found.runs, lengths):
            run.length = length
        return found

    ce = method('CE', '20 epochs', '20 epochs')
    bcl = method('BCL', '20 epochs', '16 epochs (stopped early)')
    crt = method('cRT', '10 epochs', first_stage='CE')
    (note,) = length_notes([ce, bcl, crt])
    assert note.startswith(
        'The methods were not trained equally long: CE 20 epochs, BCL 16 '
        'epochs (stopped early) or 20 epochs. What'
    )
    assert length_notes([ce, crt, method('tau-norm', '')]) == []
