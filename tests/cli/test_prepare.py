import gzip
import sys
from http.client import IncompleteRead

import pytest

from bcl_mm.cli import prepare
from bcl_mm.utils.errors import InputFileError
from tests.conftest import ROOT
from tests.trees import write_fashion_mnist


def test_prepare_fashion_mnist(run, tmp_path, monkeypatch):
    tool = ROOT / 'tools' / 'prepare_fashion_mnist.py'
    write_fashion_mnist(tmp_path / 'source')
    for path in (tmp_path / 'source').iterdir():
        path.with_name(f'{path.name}.gz').write_bytes(
            gzip.compress(path.read_bytes())
        )
    folder = tmp_path / 'out'
    command = sys.executable, tool, '--source', tmp_path / 'source', '--out'
    # Whole archives, but of other images than Fashion-MNIST's.
    done = run(*command, folder, ok=False)
    assert 'train-images-idx3-ubyte is damaged: its checksum' in done.stdout
    assert not list(folder.iterdir())


def test_a_download_that_is_cut_short(tmp_path, monkeypatch):
    def fail(address, timeout):
        raise IncompleteRead(b'half')

    monkeypatch.setattr(prepare.urllib.request, 'urlopen', fail)
    message = r'is not in .* and cannot be downloaded:\n.*IncompleteRead'
    with pytest.raises(InputFileError, match=message):
        prepare.fetch('train-labels-idx1-ubyte', tmp_path)


def test_prepare_openclipart(call, tmp_path):
    status, _, errors = call('prepare', 'fashion-mnist', '--size', '8')
    assert (status, errors.count('--size is for openclipart')) == (1, 1)
    missing = tmp_path / 'png'
    folders = '--source', missing, '--out', tmp_path / 'out'
    status, _, errors = call('prepare', 'openclipart', *folders)
    assert status == 1
    assert 'apt-get install openclipart-png' in errors
