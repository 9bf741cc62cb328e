"""A report of trained models, from their folders to the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Sequence, Union

from bcl_mm.apis.locations import make_folder
from bcl_mm.apis.runs import find_runs
from bcl_mm.report.exports import write_cards
from bcl_mm.report.page import write_page
from bcl_mm.report.summary import Method, group_runs
from bcl_mm.report.testing import evaluate_run
from bcl_mm.report.thumbnails import pictures_of
from bcl_mm.report.verdict import Verdict, judge
from bcl_mm.utils.errors import InputError, InputValueError


@dataclass
class Report:
    """A report that has been written.

    Attributes:
        path: The page.
        folder: The folder of the files beside it.
        verdict: What it says first.
        methods: The methods, with their runs and tests.
        errors: Why runs were left out.
    """

    path: Path
    folder: Path
    verdict: Verdict
    methods: List[Method]
    errors: List[InputError]


def make_report(
    folders: Sequence[Union[str, Path]],
    path: Union[str, Path],
    *,
    cfg_options: Optional[Sequence[str]] = None,
    device: Optional[str] = None,
    allow_code: bool = False,
) -> Report:
    """Test the runs in folders, and write a page that compares them.

    Args:
        folders: Work dirs of trainings or comparisons.
        path: The page, ``NAME.html``.
        cfg_options: ``KEY=VALUE`` settings that override the configs', such
            as another ``data_root``. Defaults to None.
        device: Such as ``'cuda:1'`` or ``'cpu'``. Defaults to None: a GPU if
            there is one.
        allow_code: Whether the configs may be Python, or name code that is
            not registered. Defaults to False.

    Raises:
        MissingFileError: A folder does not exist, or holds no run.
        InputError: No run can be tested; the message says why.
        InputValueError: The runs were not trained and tested on the same
            images, or the page's name does not end in .html.
    """
    path = Path(path)
    if path.suffix != '.html':
        raise InputValueError(f'path must end in .html, got {str(path)!r}')
    make_folder('folder of the page', path.parent)
    found, errors = find_runs(folders, allow_code)
    runs, evaluations = [], []
    for run in found:
        try:
            _ = run.scalars, run.cost  # logs may be damaged, too
            evaluations.append(evaluate_run(run, cfg_options, device))
            runs.append(run)
        except InputError as error:
            errors.append(InputError(f'{run.folder}: {error}'))
    if not runs:
        raise InputError('; '.join(map(str, errors)))
    methods = group_runs(runs, evaluations)
    print('Drawing ...', flush=True)
    pictures = pictures_of(runs[0], cfg_options)
    folder = write_page(methods, path, pictures)
    write_cards(methods)
    return Report(path, folder, judge(methods), methods, errors)
