"""Checkpoints behind addresses: fetched once, and never unpickled."""

import os
import socket
import threading

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import load_checkpoint

import bcl_mm.registry  # noqa: F401  (MMEngine loads as bcl_mm does)
from bcl_mm.utils.downloads import fetch
from bcl_mm.utils.errors import InputFileError, InputValueError
from tests.engine.hooks.common import make
from tests.utils.test_checkpoint import Call


def save(path, value):
    path.parent.mkdir(exist_ok=True)
    torch.save(dict(state_dict=dict(weight=torch.tensor([value]))), path)


class Net(BaseModule):
    def __init__(self, source):
        super().__init__(dict(type='Pretrained', checkpoint=source))
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.init_weights()


def test_an_address_is_the_name_of_a_download(site):
    """Two addresses may end in the same name."""
    folder, address = site
    for i, part in enumerate('ab'):
        save(folder / part / 'epoch_2.pth', i + 1.0)
    for _ in range(2):
        for i, part in enumerate('ab'):
            source = f'{address}/{part}/epoch_2.pth'
            assert Net(source).weight.item() == i + 1
        (folder / 'a' / 'epoch_2.pth').unlink(missing_ok=True)  # it is kept
    assert fetch((folder / 'b' / 'epoch_2.pth').as_uri()) == str(
        folder / 'b' / 'epoch_2.pth'
    )


def test_code_behind_an_address_is_not_run(site, tmp_path, monkeypatch):
    folder, address = site
    mark = tmp_path / 'was_run'
    code = Call(os.system, f'touch {mark}')
    torch.save(dict(state_dict={}, meta=code), folder / 'evil.pth')
    evil = f'{address}/evil.pth'
    names = dict(openmmlab='x', torchvision='x', mmcls='x', modelzoo='x')
    names['open-mmlab'] = 'x'
    for zoo in names:
        monkeypatch.setitem(
            bcl_mm.utils.downloads._ZOOS, zoo, lambda: dict(x=evil)
        )
    sources = [evil, *(f'{zoo}://x' for zoo in names)]
    for source in sources:
        with pytest.raises(InputValueError, match=r'asks for posix\.system'):
            load_checkpoint(torch.nn.Module(), source)
        with pytest.raises(InputValueError, match=r'asks for posix\.system'):
            Net(source)
    options = dict(log_level='CRITICAL')
    for resume in (True, False):
        run = make(tmp_path / 'w', load_from=evil, resume=resume, **options)
        with pytest.raises(InputValueError, match=r'asks for posix\.system'):
            run.train()
    with pytest.raises(InputValueError, match=r'asks for posix\.system'):
        make(tmp_path / 'w', load_from=evil, **options).test()
    assert not mark.exists()


def test_other_ways_of_mmengine_are_refused():
    sources = ['s3://a', 'x:s3://a', 'petrel://a', 'pavi://a', 'ftp://a/b']
    for source in sources:
        with pytest.raises(InputValueError, match='weights must be a file'):
            CheckpointLoader.load_checkpoint(source)


def test_names_of_mmpretrain_give_backbones(site, monkeypatch):
    folder, address = site
    weights = {'backbone.weight': torch.ones(1), 'head.weight': torch.ones(9)}
    torch.save(dict(state_dict=weights), folder / 'net.pth')
    monkeypatch.setitem(
        bcl_mm.utils.downloads._ZOOS,
        'mmcls',
        lambda: dict(net=f'{address}/net.pth'),
    )
    assert Net('mmcls://net').weight.item() == 1


@pytest.mark.parametrize(
    'answer',
    [
        b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf',
        b'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n',
        b'\r\n',
    ],
    ids=['cut short', 'missing', 'another protocol'],
)
def test_a_failed_download_leaves_nothing(site, tmp_path, answer):
    with socket.create_server(('127.0.0.1', 0)) as server:

        def serve():
            client, _ = server.accept()
            with client:
                client.recv(10_000)
                client.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        address = f'http://127.0.0.1:{server.getsockname()[1]}/a.pth'
        with pytest.raises(InputFileError, match='cannot be downloaded'):
            fetch(address)
        thread.join()
    assert not any(path.is_file() for path in (tmp_path / 'home').rglob('*'))


def test_a_folder_of_downloads_that_cannot_be_made(site, tmp_path):
    _, address = site
    (tmp_path / 'home').touch()
    with pytest.raises(InputFileError, match='downloaded .*Not a directory'):
        fetch(f'{address}/a.pth')
