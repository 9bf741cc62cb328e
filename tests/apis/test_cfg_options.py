"""Settings of the command line."""

import os

import pytest

from bcl_mm.apis.cfg_options import parse_options
from bcl_mm.utils.errors import InputValueError


@pytest.mark.parametrize(
    'text, value',
    [
        ('1', 1),
        ('-0.5', -0.5),
        ('1e-3', 1e-3),
        ('True', True),
        ('false', False),
        ('None', None),
        ('none', 'none'),
        ('', ''),
        ('a b', 'a b'),
        (' a, b ', ' a, b '),
        ('1,a', '1,a'),
        ('1, 2.5', [1, 2.5]),
        ('1,', [1]),
        ('b=c', 'b=c'),
        ("'1'", '1'),
        ('"a, b"', 'a, b'),
        ("it's, o'clock", "it's, o'clock"),
        ('[a,b]', ['a', 'b']),
        ('[a b, 2,]', ['a b', 2]),
        ('(1)', (1,)),
        ('[]', []),
        ('()', ()),
        ('[1, [2, (3, x)], None]', [1, [2, (3, 'x')], None]),
        ('[\'a, b\', "]"]', ['a, b', ']']),
        ('[1,2],[3,4]', [[1, 2], [3, 4]]),
        ('[a](b]', '[a](b]'),
        ('(old) photos (2)', '(old) photos (2)'),
        ('[', '['),
    ],
)
def test_values_of_options(text, value):
    (found,) = parse_options([f'model.x={text}']).values()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize('text', ['2024', '2024_01', '[old]', '1,2', ' a, b'])
@pytest.mark.parametrize(
    'name',
    [
        'data_root',
        'work_dir',
        'load_from',
        'model.pretrained',
        'model.backbone.init_cfg.checkpoint',
        'train_dataloader.dataset.dataset.ann_file',
        'data_prefix',
        'train_dataloader.dataset.data_prefix.img_path',
        'default_hooks.checkpoint.out_dir',
    ],
)
def test_paths_arrive_as_typed(name, text):
    assert parse_options([f'{name}={text}']) == {name: text}
    home = os.path.expanduser('~/a, b')
    assert parse_options([f'{name}=~/a, b']) == {name: home}


def test_what_is_no_path():
    options = ['a.pretrained=True', 'b.pretrained=None', "data_root=' 1'"]
    options += ['seed_profile=1', 'model.drop_path=0.1', 'subdir=2']
    values = [True, None, ' 1', 1, 0.1, 2]
    assert list(parse_options(options).values()) == values
    assert parse_options(['x=1', 'x=2']) == {'x': 2}
    for option in ('x', '=1'):
        with pytest.raises(InputValueError, match='must be KEY=VALUE, got'):
            parse_options([option])
