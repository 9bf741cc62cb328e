"""The notebook, run from the first cell to the last."""

import nbformat
from nbclient import NotebookClient

from tests.conftest import ROOT


def test_the_notebook_runs(tmp_path):
    notebook = nbformat.read(ROOT / 'docs' / 'examples.ipynb', as_version=4)
    for cell in notebook.cells:
        cell.pop('outputs', None)
        if cell.cell_type == 'code':
            cell.outputs = []
    where = dict(metadata=dict(path=str(tmp_path)))
    NotebookClient(notebook, timeout=300, resources=where).execute()
    outputs = [
        output
        for cell in notebook.cells
        if cell.cell_type == 'code'
        for output in cell.outputs
    ]
    text = ''.join(output.get('text', '') for output in outputs)
    assert 'No problems.' in text
    assert 'one seed: not conclusive' in text
    images = [o for o in outputs if 'image/png' in o.get('data', {})]
    assert len(images) == 4
