"""Runs and tables of compare.py."""

import json
import sys

from bcl_mm.apis.comparison_table import (
    make_table,
)
from tests.cli.common import (
    BCL,
    CE,
    NO_GPU,
    SHORT,
)
from tests.conftest import ROOT

TOOL = ROOT / 'tools' / 'compare.py'
LA = 'configs/la_resnet8_digits_lt.py'
TWO_METHODS = CE, BCL, '--seeds', 0, 1, '--jobs', 2, '--log', 'tensorboard'
DEVICE = 'CPU' if NO_GPU else 'GPU'


def command(work_dir, *arguments, options=SHORT):
    words = [sys.executable, TOOL, *arguments, '--work-dir', work_dir]
    if options:
        words += ['--cfg-options', *options]
    return list(map(str, words))


def table_of(runs, *arguments):
    return make_table([run.record() for run in runs], *arguments)


def table(output):
    """Cells of the rows that a command printed."""
    rows = [line for line in output.splitlines() if line[:1] == '|']
    return [[c.strip() for c in row.split('|')[1:-1]] for row in rows]


def read_notes(tmp_path):
    paths = sorted((tmp_path / 'runs').glob('*/*/run.json'))
    return {path.parent: json.loads(path.read_text()) for path in paths}
