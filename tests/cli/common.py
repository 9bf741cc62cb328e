"""What the tests of the tools share."""

import re
from pathlib import Path

import torch

from tests.conftest import ROOT

TRAIN = ROOT / 'tools' / 'train.py'
TEST = ROOT / 'tools' / 'test.py'
BCL = 'configs/bcl_resnet8_digits_lt.py'
CE = 'configs/ce_resnet8_digits_lt.py'
# BCL validated on the test images: training and test give the same figures.
ON_TEST_IMAGES = f"""
_base_ = '{ROOT / BCL}'
val_dataloader = dict(_delete_=True, **_base_.test_dataloader)
"""
SHORT = ('train_cfg.max_epochs=2', 'train_cfg.val_interval=2')
# What a newcomer would wonder about.
NOISE = re.compile(
    r'^(?!  - Build settings).*(Warning: |WARNING|deprecated|Traceback)'
)
NO_GPU = not torch.accelerator.is_available()


def accuracies(output):
    return re.findall(r'Epoch\((?:val|test)\).*top1: (\S+)', output)


def children(pid):
    """Processes that a process has started, from /proc."""
    found = []
    for stat in Path('/proc').glob('[0-9]*/stat'):
        try:
            fields = stat.read_text().rpartition(')')[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return sorted(found)


def assert_quiet(output):
    noisy = [line for line in output.splitlines() if NOISE.search(line)]
    assert not noisy
