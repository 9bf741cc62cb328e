"""The documentation as a site.

python -m sphinx -W --keep-going -b html docs work_dirs/site

A build runs the notebook; the first one also trains on the handwritten digits,
for the report that it shows.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Optional

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.writers.html5 import HTML5Translator

import bcl_mm

project = 'bcl_mm'
author = 'The bcl_mm developers'
release = version = bcl_mm.__version__
extensions = ['myst_nb', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
html_math_renderer = 'mathml'  # below
myst_enable_extensions = ['dollarmath']
myst_heading_anchors = 3

nb_execution_mode = 'force'  # the notebook is run
nb_execution_raise_on_error = True
nb_execution_timeout = 300  # seconds a cell
nb_merge_streams = True  # one box for what a cell prints

autodoc_member_order = 'bysource'
autodoc_typehints = 'none'  # the docstrings say it, with shapes
napoleon_use_param = False  # (one entry may name several arguments)

html_theme = 'furo'
html_title = 'bcl_mm'
html_static_path = ['_static']
html_css_files = ['site.css']
html_copy_source = html_show_sourcelink = False


def write_example_report(app: Sphinx, error: Optional[Exception]) -> None:
    """Put the quickstart's report into the site; finished runs are kept."""
    if error or app.builder.format != 'html':
        return
    methods = [f'{name}_resnet8_digits_lt' for name in ('ce', 'la', 'bcl')]
    work_dir = Path(__file__).parents[1] / 'work_dirs' / 'example'
    done = subprocess.run(
        [
            *(sys.executable, '-m', 'bcl_mm', 'compare', *methods),
            *('--seeds', '0', '1'),
            *('--work-dir', work_dir, '--report'),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise ExtensionError(f'no example of a report:\n{done.stdout}')
    shutil.copy(
        work_dir / 'report.html', Path(app.outdir, 'example_report.html')
    )


def write_formula(self: HTML5Translator, node: nodes.math) -> None:
    """Write a formula as MathML, which browsers draw without a script."""
    self.body.append(convert(node.astext()))
    raise nodes.SkipNode


def write_formula_block(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula between paragraphs; a wide one can be scrolled."""
    formula = convert(node.astext(), display='block')
    self.body.append(f'<div class="formula">{formula}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_html_math_renderer(
        'mathml', (write_formula, None), (write_formula_block, None)
    )
    app.connect('build-finished', write_example_report)
