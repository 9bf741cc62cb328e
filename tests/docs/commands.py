"""The commands in README and docs, made small enough to be run."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List

from tests.conftest import ROOT

DOCUMENTS = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
# Run elsewhere, and where.
ELSEWHERE = {
    r'source \.venv/bin/activate': 'the environment of these tests',
    r'bash tools/quickstart\.sh': 'tests/tools/test_report.py, in its steps',
    r'bash tools/run_tests\.sh': 'what runs these tests',
    r'pip install ': 'tests/test_packaging.py; tools/setup_env.sh',
    r'tools/slurm_\w+\.sh ': 'tests/tools/test_slurm.py',
    r'NNODES=': 'tests/tools/test_nodes.py',
}
# Last of the options, so that they are the ones that count.
SMALL = [
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    'train_dataloader.batch_size=4',
    'val_dataloader.num_workers=0',
    'val_dataloader.persistent_workers=False',
    'test_dataloader.num_workers=0',
    'test_dataloader.persistent_workers=False',
]
SHORT = ['train_cfg.max_epochs=1', 'train_cfg.val_interval=1']


@dataclass
class Command:
    """A line of a bash block.

    Attributes:
        document: Its file's name.
        line: Its first line there, from 1.
        text: What is typed, on one line, without comment.
    """

    document: str
    line: int
    text: str

    def __str__(self) -> str:
        return f'{self.document}:{self.line}: {self.text}'

    @property
    def elsewhere(self) -> bool:
        """Whether another test or script runs it."""
        return any(re.match(start, self.text) for start in ELSEWHERE)


def code_blocks(document: Path, language: str) -> Iterator[tuple]:
    """(first line's number, text) of a document's blocks of a language."""
    text = document.read_text(encoding='utf-8')
    for match in re.finditer(rf'^```{language}\n(.*?)^```', text, re.M | re.S):
        yield text[: match.start(1)].count('\n') + 1, match[1]


def commands_of(document: Path) -> List[Command]:
    """The commands of a document, in their order."""
    found = []
    for line, block in code_blocks(document, 'bash'):
        # A command that is too long goes on after a backslash.
        for text in block.replace('\\\n', '\\\0').splitlines():
            typed = re.sub(r'(^|\s)#.*', '', text).replace('\\\0', ' ').strip()
            if typed:
                found.append(Command(document.name, line, typed))
            line += 1 + text.count('\0')
    return found


def made_small(command: Command, classes: int) -> List[str]:
    """Words of the command with little data, one epoch and two processes.

    Args:
        command: The command.
        classes: Number of classes of the small data sets where the config
            does not count them.
    """
    words = shlex.split(command.text)
    if words[0] in ('python', 'bash'):
        words = words[1:]
    tool, *rest = words
    rest = [word for word in rest if word != '--amp']  # wants a GPU
    # The checkpoint of the only epoch; the folder of data.
    rest = [re.sub(r'epoch_\d+\.pth', 'epoch_1.pth', word) for word in rest]
    rest = [
        re.sub(r'=(PATH|/data/\w+)$', '=data/folder', word) for word in rest
    ]
    is_shell = tool.endswith('.sh')
    if is_shell:
        rest = ['2' if word == '8' else word for word in rest]
    name = Path(tool).stem
    options: List[str] = []
    if name in ('train', 'dist_train', 'compare'):
        options = [*SHORT, *SMALL]
    elif name in ('test', 'dist_test', 'check_dataset', 'predict', 'export'):
        options = SMALL[-2:]
    if re.search('imagenet|inaturalist', command.text):
        options.append(f'model.head.num_classes={classes}')
        rest = [re.sub('=data/folder$', '=data/imagenet', w) for w in rest]
    if name == 'benchmark':
        rest += ['--quick', '--repeats', '1']
    if options:
        if '--cfg-options' not in rest:
            rest.append('--cfg-options')
        rest += options
    return ['bash' if is_shell else 'python', tool, *rest]
