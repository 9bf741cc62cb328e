"""Every command in README and docs runs, and every link leads somewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.docs.commands import (
    DOCUMENTS,
    ELSEWHERE,
    code_blocks,
    commands_of,
    made_small,
)
from tests.trees import write_fashion_mnist, write_inaturalist, write_lists

CLASSES = 3


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    """A copy of the project with small data sets in data/."""
    home = tmp_path_factory.mktemp('home')
    for name in ('bcl_mm', 'configs', 'tools'):
        ignored = shutil.ignore_patterns('__pycache__')
        shutil.copytree(ROOT / name, home / name, ignore=ignored)
    for name in ('setup.py', 'README.md', 'pyproject.toml'):
        shutil.copy(ROOT / name, home)
    write_fashion_mnist(home / 'data' / 'fashion_mnist')
    write_lists(home / 'data' / 'imagenet')
    write_inaturalist(home / 'data' / 'inaturalist2018')
    write_folder(home)
    return home
