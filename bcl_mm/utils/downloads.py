"""Checkpoints that are named by an address, as local files."""

from __future__ import annotations

import hashlib
import os
import sys
from http.client import HTTPException
from pathlib import Path, PurePath
from typing import Dict
from urllib.parse import urlparse
from urllib.request import Request, url2pathname, urlopen

import torch
from mmengine.runner.checkpoint import (
    get_deprecated_model_names,
    get_external_models,
    get_mmcls_models,
    get_torchvision_models,
)

from bcl_mm.utils.errors import (
    InputFileError,
    InputValueError,
    similar_names,
)
from bcl_mm.utils.files import open_atomically


def _openmmlab_models() -> Dict[str, str]:
    models = get_external_models()
    renamed = get_deprecated_model_names()
    return {
        **{old: models[new] for old, new in renamed.items() if new in models},
        **models,
    }


# Addresses of weights by name: torchvision://resnet50.
_ZOOS = {
    'torchvision': get_torchvision_models,
    'modelzoo': get_torchvision_models,
    'openmmlab': _openmmlab_models,
    'open-mmlab': _openmmlab_models,
    'mmcls': get_mmcls_models,
}


def _download(address: str, path: Path) -> None:
    """Download a file: completely, or not at all."""
    print(f'Downloading {address} ...', file=sys.stderr, flush=True)
    request = Request(address, headers={'User-Agent': 'bcl_mm'})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with urlopen(request, timeout=30) as answer:
            expected = answer.headers.get('Content-Length')
            with open_atomically(path, 'wb') as file:
                while block := answer.read(1 << 20):
                    file.write(block)
                received = file.tell()
                if expected not in (None, str(received)):
                    raise ValueError(f'{received} of {expected} bytes came')
    except (OSError, ValueError, HTTPException) as error:
        raise InputFileError(
            f'{address} cannot be downloaded ({error}): give a file'
        ) from error


def fetch(source: str) -> str:
    """Local path of a checkpoint, which is downloaded if it is an address.

    Downloads are kept where torch keeps its own (``$TORCH_HOME``). Their
    names hold a hash of the whole address: two addresses never share a file.

    Args:
        source: A path, ``http(s)://...``, ``file://...``, or a name of
            MMEngine's collections: ``openmmlab://NAME``, ``mmcls://NAME``,
            ``torchvision://NAME``, such as ``torchvision://resnet50`` or
            ``torchvision://resnet50.default``.

    Raises:
        InputValueError: It is of another kind, or the name is unknown.
        InputFileError: It cannot be downloaded.
    """
    zoo, _, name = source.partition('://')
    address = source
    if zoo in _ZOOS:
        addresses = _ZOOS[zoo]()
        if name not in addresses:
            raise InputValueError(
                f'{zoo} has no weights {name!r}'
                f'{similar_names(name, addresses)}'
            )
        address = addresses[name]
    if '://' not in address:
        return os.path.expanduser(address)
    parts = urlparse(address)
    if parts.scheme == 'file':
        return url2pathname(parts.path)
    if parts.scheme not in ('http', 'https'):
        raise InputValueError(
            'weights must be a file, http(s)://..., torchvision://NAME, '
            'openmmlab://NAME, mmcls://NAME or, '
            f'for a backbone, timm://NAME, got {source!r}'
        )
    file = PurePath(parts.path)
    # torchvision's names hold a hash of the content: its own downloads serve.
    if _ZOOS.get(zoo) is not get_torchvision_models:
        key = hashlib.sha256(address.encode()).hexdigest()[:16]
        file = PurePath(f'{file.stem[:100]}-{key}{file.suffix[:20]}')
    path = Path(torch.hub.get_dir(), 'checkpoints', file.name)
    if not path.is_file():
        _download(address, path)
    return str(path)
