"""Data sets that several processes of a machine read."""

import tempfile

import pytest

from bcl_mm.datasets import CustomImages, ImageList, custom, lists
from tests.forks import kept, on_processes
from tests.trees import write_classes

COUNTS, NAMES = (6, 4, 3), ('ant', 'bee', 'cat')


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A tree and its list, on a node of three processes."""
    (tmp_path / 'temporary').mkdir()
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'temporary'))
    monkeypatch.setenv('MASTER_PORT', '29500')
    write_classes(tmp_path / 'tree', COUNTS, NAMES)
    images = sorted((tmp_path / 'tree').glob('*/*'))
    lines = [f'{p.parent.name}/{p.name} {len(p.parent.name)}' for p in images]
    (tmp_path / 'list.txt').write_text('\n'.join([*lines, 'ant/x.png 3']))
    (tmp_path / 'reads').touch()

    def counting(read):
        def counted(*args, **kwargs):
            with open(tmp_path / 'reads', 'a') as file:
                file.write('x')
            return read(*args, **kwargs)

        return counted

    monkeypatch.setattr(lists, 'read_list', counting(lists.read_list))
    monkeypatch.setattr(custom, 'Parts', counting(custom.Parts))
    return tmp_path


def build(kind, root, **options):
    if kind is ImageList:
        path = str(root / 'list.txt')
        return ImageList(path, str(root / 'tree'), **options)
    return CustomImages(str(root / 'tree'), split='val', **options)


def seen(dataset):
    """All that a data set shows of itself."""
    images = [dataset.get_data_info(i) for i in range(len(dataset))]
    notes, own = getattr(dataset, 'notes', ()), dataset.ann_file
    labels = dataset.get_gt_labels().tolist()
    return images, labels, dataset.metainfo, dataset.problems, notes, own


@pytest.mark.parametrize('kind', [ImageList, CustomImages])
def test_one_process_of_a_node_reads(kind, root, monkeypatch):
    alone = seen(build(kind, root, collect_problems=True))
    assert (root / 'reads').read_text() == 'x'
    monkeypatch.setenv('WORLD_SIZE', '3')

    def read(rank):
        dataset = build(kind, root, collect_problems=True)
        kept.append(dataset)
        assert not dataset.data_list.labels.flags.writeable
        assert dataset.get_gt_labels().flags.writeable
        return seen(dataset)

    assert on_processes(read) == [alone] * 3
    assert (root / 'reads').read_text() == 'xx'


def test_options_and_changed_lists_are_told_apart(root, monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '3')

    def read(rank):
        if rank == 2:
            with open(root / 'list.txt', 'a') as file:
                file.write('\nbee/y.png 3')
        options = dict(check_files=False, test_mode=rank == 1)
        kept.append(build(ImageList, root, **options))
        return len(kept[-1])

    lengths = [on_processes(read, number)[-1] for number in (1, 2, 3)]
    assert lengths == [14, 14, 15]


def test_each_process_tells_the_error(root, monkeypatch):
    with pytest.raises(FileNotFoundError) as alone:
        build(ImageList, root)
    monkeypatch.setenv('WORLD_SIZE', '3')
    errors = on_processes(lambda rank: build(ImageList, root))
    assert [type(error) for error in errors] == [alone.type] * 3
    assert [str(error) for error in errors] == [str(alone.value)] * 3
