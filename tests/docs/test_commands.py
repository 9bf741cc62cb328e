"""Every command in README and docs runs, and every link leads somewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision.models import resnet18

from tests.conftest import ROOT, THIS_PYTHON
from tests.docs.commands import (
    DOCUMENTS,
    ELSEWHERE,
    code_blocks,
    commands_of,
    made_small,
)
from tests.trees import write_fashion_mnist, write_inaturalist, write_lists

CLASSES = 3


def write_folder(root):
    """A tree of three unbalanced classes, to be split, and a list.

    Without the first one, two have the 3 images that a command asks for.
    """
    photos = load_sample_images().images
    rows = ['Image File;dx;patient;part']
    for label, count in enumerate((6, 4, 3)):
        folder = root / f'class {label}'
        folder.mkdir(parents=True)
        for i in range(count):
            top, left = 40 * i, 90 * label
            crop = photos[label % 2][top : top + 90, left : left + 80]
            path = folder / ('video' if i == 5 else '') / f'{i}.jpg'
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(crop).save(path)
            part = 'train' if i else 'val'
            rows.append(f'{path.relative_to(root)};{label};P{i};{part}')
    (root / 'lesions.csv').write_text('\n'.join(rows))


@pytest.fixture
def home(tmp_path):
    """A copy of the project with small data in data/."""
    ignored = shutil.ignore_patterns('__pycache__')
    for name in ('bcl_mm', 'configs', 'tools'):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    write_fashion_mnist(tmp_path / 'data' / 'fashion_mnist')
    write_lists(tmp_path / 'data' / 'imagenet')
    write_inaturalist(tmp_path / 'data' / 'inaturalist2018')
    write_folder(tmp_path / 'data' / 'folder')
    for name in ('photos', 'gallery'):
        shutil.copytree(tmp_path / 'data' / 'folder', tmp_path / name)
    torch.save(resnet18().state_dict(), tmp_path / 'resnet18.pth')
    return tmp_path


@pytest.mark.slow
@pytest.mark.documents
def test_commands_run(home, free_port):
    environment = {
        **os.environ,
        **THIS_PYTHON,
        'PYTHONPATH': str(home),
        'OMP_NUM_THREADS': '1',
        'PORT': free_port,
    }
    # What two documents have in common runs once.
    commands = {
        made_small(command.text, CLASSES): command
        for document in reversed(DOCUMENTS)
        for command in reversed(commands_of(document))
        if not command.is_run_elsewhere
    }
    failures = []
    for small, command in reversed(commands.items()):
        ended = subprocess.run(
            ['bash', '-c', small],
            cwd=home,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        if ended.returncode:
            failures.append(f'{command}\n{small}\n{ended.stdout[-1500:]}')
    assert not failures, '\n\n'.join(failures)


def test_what_is_run_elsewhere_is():
    for place in ELSEWHERE.values():
        for path in re.findall(r'[\w./]+\.(?:py|sh)', place):
            assert (ROOT / path).is_file(), path


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda d: d.stem)
def test_links_and_paths_lead_somewhere(document):
    text = document.read_text(encoding='utf-8')
    targets = re.findall(r'\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)', text)
    assert [t for t in targets if not (document.parent / t).exists()] == []
    named = re.findall(r'(?:tools|configs|tests)/[\w/]+\.(?:py|sh)\b', text)
    # docs/reliability.md names tests by their place below tests/.
    places = ROOT, ROOT / 'tests'
    lost = [p for p in named if not any((r / p).exists() for r in places)]
    assert lost == []


def test_the_tests_of_reliability_exist():
    text = (ROOT / 'docs' / 'reliability.md').read_text(encoding='utf-8')
    named = set(re.findall(r'`((?:\w+/)*test_\w+\.py)(?:::(\w+))?`', text))
    assert len(named) > 40
    for path, test in named:
        code = (ROOT / 'tests' / path).read_text(encoding='utf-8')
        assert not test or f'\ndef {test}(' in code, (path, test)


def test_all_documents_are_in_the_table_of_contents():
    readme, *pages = DOCUMENTS
    assert '(docs/index.md)' in readme.read_text(encoding='utf-8')
    docs = ROOT / 'docs'
    found = {docs / 'index'}
    for page in pages:
        for _, block in code_blocks(page, '{toctree}'):
            names = [
                n for n in block.split('\n') if re.fullmatch(r'[\w/]+', n)
            ]
            found |= {page.parent / name for name in names}
    notebooks = docs.glob('*.ipynb')
    assert found == {page.with_suffix('') for page in (*pages, *notebooks)}
