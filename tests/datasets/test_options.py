"""Options that every data set of ours takes."""

import pytest

from bcl_mm.datasets import CustomImages, Digits, ImageList
from bcl_mm.utils.errors import InputError
from tests.trees import write_classes


@pytest.fixture(params=['custom', 'list', 'digits'])
def build(request, tmp_path):
    """Makes a data set with three, or ten, classes and further options."""
    if request.param == 'digits':
        return lambda **options: Digits('train', **options)
    names = ['ant', 'bee', 'cat']
    write_classes(tmp_path, (2, 2, 2), names)
    if request.param == 'custom':
        return lambda **options: CustomImages(str(tmp_path), **options)
    lines = [f'{name}/0.png {label}' for label, name in enumerate(names)]
    (tmp_path / 'list.txt').write_text('\n'.join(lines))
    root = str(tmp_path)
    return lambda **options: ImageList(
        'list.txt', data_root=root, check_files=False, **options
    )


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(classes='abc'), "or a file .*, got 'abc', which is no file"),
        (dict(classes=''), "or a file .*, got '', which is no file"),
        (dict(classes=3), 'classes must be a list of names, got 3'),
        (dict(classes=list('aab')), "each class once, got 'a' 2 times: rem"),
        (dict(metainfo=dict(classes='aab')), 'must be a list of names'),
        (dict(metainfo=dict(classes='aab')), "must be .* got 'aab', which is"),
        (
            dict(metainfo=dict(classes=('x', 'y', 'x'))),
            r"metainfo\['classes'\] must name each class once, got 'x' 2",
        ),
        (dict(test_mode='no'), "test_mode must be True or False, got 'no'"),
        (dict(lazy_init='no'), "lazy_init must be True or False, got 'no'"),
        (dict(serialize_data=1), 'serialize_data must be True or False, got'),
        (dict(max_refetch=-1), 'max_refetch must be >= 0, got -1'),
    ],
)
def test_wrong_options(build, options, message):
    with pytest.raises(InputError, match=message) as error:
        build(**options)
    assert len(str(error.value).splitlines()) == 1


def test_a_file_of_class_names(build, tmp_path):
    path = tmp_path / 'names.txt'
    path.write_text('ant\nbee\ncat\n')
    assert build(classes=str(path)).metainfo['classes'] == (
        'ant',
        'bee',
        'cat',
    )
    path.write_text('ant\nbee\nant\n')
    with pytest.raises(InputError, match=r"'ant' 2 times in .*names.txt: re"):
        build(classes=str(path))
    path.write_bytes(b'\xff\xfe')
    with pytest.raises(InputError, match=r'names.txt, the file of classes, c'):
        build(classes=str(path))


@pytest.mark.parametrize('value', ['no', None, 0])
def test_checking_files_is_a_bool(tmp_path, value):
    with pytest.raises(InputError, match='check_files must be True or False'):
        CustomImages(str(tmp_path), check_files=value)
