"""Images in WebDataset's shards, read as a stream."""

from __future__ import annotations

import os.path as osp
import random
import tarfile
from typing import Any, Dict, Iterator, List, Optional, Sequence, Union

from mmengine.dataset import Compose
from mmengine.dist import get_dist_info
from torch.utils.data import IterableDataset, get_worker_info

from bcl_mm.datasets.options import check_options
from bcl_mm.datasets.transforms.loading import is_image_name
from bcl_mm.registry import DATASETS
from bcl_mm.utils.errors import (
    InputFileError,
    InputValueError,
    MissingFileError,
    MissingPackageError,
    check_number,
)


@DATASETS.register_module()
class ShardImages(IterableDataset):
    """A stream of the images and labels in tar files, by WebDataset.

    A sample is an image file (``.jpg``, ``.png``, ...) and its label, a whole
    number, as text in ``.cls``. The shards are dealt to the processes and
    their data workers, in another order in each epoch; a worker reads its
    shards one after the other, and mixes their samples in a buffer.

    The pipeline begins with
    ``dict(type='LoadImageFromFile', _scope_='bcl_mm')``, which decodes the
    bytes as those of a file. Training needs ``sampler=None`` and
    ``class_counts`` in the config; SampleSeedHook makes the epochs of all
    processes equally long.

    Args:
        shards: Paths or addresses, as in ``webdataset.WebDataset``: a list,
            or text with braces, such as ``'train-{0000..0146}.tar'``. At
            least as many as processes times data workers.
        num_images: Images of an epoch, over all processes.
        pipeline: Transforms, or their configs. Defaults to none.
        classes: The C names of the classes. Defaults to None: unknown.
        buffer_size: Samples from which a data worker draws the next one; 0
            reads shards and samples in their order. Defaults to 1000.
        seed: Seed of the order. Defaults to None: the run's, which
            SampleSeedHook sets, or else 0.

    Raises:
        InputError: An argument is wrong.
        MissingFileError: A local shard does not exist.
        MissingPackageError: WebDataset is not installed.

    Example:
        >>> import io
        >>> with tarfile.open('train-0000.tar', 'w') as file:
        ...     for name, content in (('a.png', b'...'), ('a.cls', b'3')):
        ...         info = tarfile.TarInfo(name)
        ...         info.size = len(content)
        ...         file.addfile(info, io.BytesIO(content))
        >>> (sample,) = ShardImages('train-0000.tar', num_images=1)
        >>> sample['gt_label'], sample['img_path']
        (3, 'train-0000.tar/a.png')
    """

    def __init__(
        self,
        shards: Union[str, Sequence[str]],
        num_images: int,
        pipeline: Sequence[Any] = (),
        classes: Optional[Sequence[str]] = None,
        buffer_size: int = 1000,
        seed: Optional[int] = None,
    ) -> None:
        try:
            from webdataset.shardlists import expand_urls
        except ImportError as error:
            raise MissingPackageError(
                'ShardImages needs WebDataset: pip install webdataset'
            ) from error
        check_number('num_images', num_images, at_least=1, whole=True)
        check_number('buffer_size', buffer_size, at_least=0, whole=True)
        if seed is not None:
            check_number('seed', seed, at_least=0, whole=True)
        check_options(dict(classes=classes))
        patterns = [shards] if isinstance(shards, str) else shards
        self.shards = [s for pattern in patterns for s in expand_urls(pattern)]
        local = [s for s in self.shards if not s.startswith('pipe:')]
        for shard in local:
            if '://' not in shard and not osp.isfile(shard):
                raise MissingFileError(f'shard {shard!r} does not exist')
        self.pipeline = Compose(list(pipeline))
        self.metainfo = {} if classes is None else dict(classes=tuple(classes))
        self.buffer_size = buffer_size
        self.seed = seed
        self.epoch = 0
        # Data workers do not know them.
        self.rank, self.world_size = get_dist_info()
        self.num_samples = -(-num_images // self.world_size)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which changes the order, of the next pass."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Images of an epoch in this process."""
        return self.num_samples

    def __iter__(self) -> Iterator[Any]:
        """Read this worker's shards once."""
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        part, parts = self.rank * workers + number, self.world_size * workers
        if len(self.shards) < parts:
            raise InputValueError(
                f'{len(self.shards)} shards are too few for '
                f'{self.world_size} processes of {workers} data workers, each '
                'of which needs one: lower num_workers or write more shards'
            )
        shards, epoch = list(self.shards), self.epoch
        self.epoch += 1
        if self.buffer_size:
            random.Random(f'{self.seed or 0} {epoch}').shuffle(shards)
        order = f'{self.seed or 0} {epoch} {part}'
        for sample in self._read(shards[part::parts], order):
            yield self.pipeline(_info_of(sample))

    def _read(self, shards: List[str], seed: str) -> Iterator[Dict[str, Any]]:
        import webdataset

        stream = webdataset.WebDataset(
            shards,
            shardshuffle=False,
            nodesplitter=None,
            workersplitter=None,
            empty_check=False,
            seed=0,
        )
        size = self.buffer_size
        try:
            yield from stream.shuffle(size, initial=size, seed=seed)
        except (tarfile.TarError, EOFError, OSError) as error:
            raise InputFileError(
                f'shards cannot be read: {", ".join(map(str, error.args))}'
            ) from error


def _info_of(sample: Dict[str, Any]) -> Dict[str, Any]:
    """What a pipeline takes: name, bytes and label of an image."""
    place = f'{sample["__url__"]}, sample {sample["__key__"]!r}'
    names = [name for name in sample if is_image_name(f'.{name}')]
    label = sample.get('cls', b'').strip()
    if len(names) != 1 or not label.isdigit():
        found = [name for name in sample if name[:2] != '__']
        raise InputValueError(
            f'{place}: it must have one image and a label in .cls, a whole '
            f'number, got {found}' + (f' and label {label!r}' if label else '')
        )
    path = f'{sample["__url__"]}/{sample["__key__"]}.{names[0]}'
    return dict(img_path=path, img_bytes=sample[names[0]], gt_label=int(label))
