"""The commands in README and docs, made small enough to be run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Tuple

from tests.conftest import ROOT

DOCUMENTS = [ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md'))]
# What is run elsewhere, and where.
ELSEWHERE = {
    r'source \.venv/bin/activate$': 'the environment of the tests',
    r'bash tools/quickstart\.sh': 'tests/report/test_page.py, in its steps',
    r'bash tools/run_tests\.sh': 'what runs the tests',
    r'pip install ': 'tools/setup_env.sh',
    r'PYTHONPATH=\. ': 'tests/docs/test_add_a_method.py',
    r'python tools/benchmark\.py': 'tests/cli/test_benchmark.py',
    r'bcl-mm prepare ': 'tests/cli/test_prepare.py',
    r'bcl-mm try ': 'tests/cli/test_try.py',
    r'bcl-mm calibrate ': 'tests/cli/test_calibrate.py',
    r'bcl-mm train lift_': 'tests/cli/test_lift.py',
    r'.*_shards\.py\b': 'tests/docs/test_streams.py',
    r'.* bcl_resnext50\.pth': 'tests/cli/test_convert.py',
}
# What a document takes for granted.
BEFORE = {
    'using_a_model.md': [
        f'bcl-mm train {config}'
        for config in (
            'bcl_resnet32_custom',
            'bcl_resnet8_digits_lt',
            'ce_resnet8_digits_lt',
        )
    ],
}
_NO_WORKERS = [
    f'{loader}_dataloader.{setting}'
    for loader in ('val', 'test')
    for setting in ('num_workers=0', 'persistent_workers=False')
]
_SHORT = [
    'train_cfg.max_epochs=1',
    'train_cfg.val_interval=1',
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    *_NO_WORKERS,
]


@dataclass
class Command:
    """A line of a bash block.

    Attributes:
        document: Its file.
        line: Its line there, from 1.
        text: What is typed, on one line, without comment.
    """

    document: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f'{self.document.name}:{self.line}: {self.text}'

    @property
    def is_run_elsewhere(self) -> bool:
        """Whether another test or script runs it."""
        return any(re.match(start, self.text) for start in ELSEWHERE)


def code_blocks(document: Path, language: str) -> Iterator[Tuple[int, str]]:
    """First line's number and text of the blocks in a language."""
    text = document.read_text(encoding='utf-8')
    for match in re.finditer(rf'^```{language}\n(.*?)^```', text, re.M | re.S):
        yield text[: match.start(1)].count('\n') + 1, match[1]


def commands_of(document: Path) -> List[Command]:
    """The commands of a document, in their order, and those before it."""
    found = [
        Command(document, 0, text) for text in BEFORE.get(document.name, ())
    ]
    for first, block in code_blocks(document, 'bash'):
        for match in re.finditer(r'(?:[^\n]*\\\n)*[^\n]+', block):
            typed = re.sub(r'(^|\s)#.*', '', match[0].replace('\\\n', ' '))
            line = first + block[: match.start()].count('\n')
            if typed.strip():
                found.append(Command(document, line, typed.strip()))
    return found


def made_small(text: str, num_classes: int) -> str:
    """The command on small data, for one epoch, on at most two processes.

    Args:
        text: The command.
        num_classes: Number of classes of the small data, which configs of
            large data sets do not count.
    """
    is_large = re.search('imagenet|inaturalist', text)
    is_custom = re.search(r'_custom\b', text)
    for pattern, small in (
        (r'epoch_\d+\.pth', 'epoch_1.pth'),
        (r' data_root=/data/imagenet', ''),  # where it is anyway
        (r'\bPATH\b', 'data/folder'),
        ('torchvision://resnet50', 'resnet18.pth'),  # a download
        ('--seeds [0-9 ]+', '--seeds 0 '),
        (r'configs/\*', 'configs/{ce,tau_norm,bcl}'),
        (' --amp', ''),  # needs a GPU
        (r'launch [48]\b', 'launch 2'),
        # The console script is tested with the wheel.
        (r'\bbcl-mm ', 'python -m bcl_mm '),
    ):
        text = re.sub(pattern, small, text)
    command = re.search(r'-m bcl_mm (?:launch 2 )?(\w+)', text)[1]
    options = []
    if command in ('train', 'compare'):
        options += _SHORT
        if is_large or is_custom:
            options.append('train_dataloader.batch_size=4')
    elif command in ('test', 'check'):
        options += _NO_WORKERS
    if is_large:
        options.append(f'model.head.num_classes={num_classes}')
    if re.search(r'resnet50_(custom|inaturalist2018)\b', text):
        options += ['model.backbone.depth=18', 'model.head.in_channels=512']
    if is_custom and 'data_root' not in text:
        options.append('data_root=data/folder')
    if not options:
        return text
    if '--cfg-options' not in text:
        text += ' --cfg-options'
    # The last of the options, and so the ones that count.
    return ' '.join([text, *options])
