"""Configs and output of check_dataset.py."""

from tests.conftest import ROOT

TOOL = ROOT / 'tools' / 'check_dataset.py'
IMAGENET = 'configs/bcl_resnext50_imagenet_lt.py'


def listed(output, title='Problems'):
    """Lines of a list at the end of the report."""
    _, _, rest = output.partition(f'\n{title} (')
    if not rest:
        return []
    number, _, lines = rest.partition('):\n')
    lines = lines.split('\n\n')[0].strip().splitlines()
    assert len(lines) == int(number.replace(',', ''))
    return lines


def write_config(path, **loaders):
    """A config of datasets alone."""
    text = ''.join(
        f'{name}_dataloader = dict(dataset={dataset!r})\n'
        for name, dataset in loaders.items()
    )
    path.write_text(text)
    return path


def folder(root, split):
    return dict(
        type='mmpretrain.CustomDataset',
        data_root=str(root),
        data_prefix=split,
        with_label=True,
        pipeline=[dict(type='none.such')],  # which is not needed
    )
