"""Which images a calibration is measured on."""

from argparse import Namespace

import pytest

from bcl_mm.apis.calibration import _build_loader, _test_loader
from bcl_mm.apis.config import load_config
from tests.trees import write_classes

PARTS = ('val', 'test')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Folders of three parts, and a list of them all."""
    root = tmp_path_factory.mktemp('data')
    parts = dict(train=(3, 2), val=(2, 2), test=(2, 3))
    for part, counts in parts.items():
        write_classes(root / part, counts)
    rows = [
        f'{path},{path.parent.name},{path.parts[-3]}'
        for path in sorted(root.glob('*/*/*'))
    ]
    (root / 'all.csv').write_text('\n'.join(['path,label,part', *rows]))
    return root


@pytest.mark.parametrize(
    'source, options, measured',
    [
        ('.', [], 5),
        ('all.csv', ['split_column=part'], 5),
        ('test', ['val_fraction=0.4'], None),
        ('.', [f'{n}_dataloader.dataset.split=test' for n in PARTS], None),
    ],
    ids=['folders', 'list', 'no test part', 'validation on the test part'],
)
def test_separate_test_images(data, source, options, measured):
    options = [f'data_root={data / source}', *options]
    cfg = load_config(
        Namespace(config='ce_resnet32_custom', cfg_options=options)
    )
    validated = _build_loader(cfg, 'val_dataloader').dataset
    loader = _test_loader(cfg, validated)
    assert (None if loader is None else len(loader.dataset)) == measured
