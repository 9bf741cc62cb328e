"""Loading of image files, with errors that name the file."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile as MMCVLoadImageFromFile
from mmengine import fileio
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.runner import Runner

from bcl_mm.classes import labels_of
from bcl_mm.registry import HOOKS, TRANSFORMS
from bcl_mm.utils.errors import InputValueError

# Names of image files end with one of these, in any case.
IMAGE_ENDINGS = ('.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm')
IMAGE_ENDINGS += ('.tif', '.tiff', '.webp')
_JPEG, _PNG = b'\xff\xd8', b'\x89PNG\r\n\x1a\n'


def is_image_name(name: str) -> bool:
    """Whether a file is an image, judged by the ending of its name."""
    return name.lower().endswith(IMAGE_ENDINGS)


class CorruptImageError(InputValueError):
    """An image cannot be loaded; the message gives its path and the cause.

    (The message is its only argument: the main process rebuilds a data
    worker's error from its text.)
    """


def _start_of_scan(content: bytes) -> int:
    """Offset of a JPEG's first scan; -1 if it has none."""
    at = 2
    while content[at : at + 1] == b'\xff':
        marker = content[at + 1 : at + 2]
        if marker == b'\xda':
            return at
        if marker == b'\xff':  # a fill byte
            at += 1
        else:
            at += 2 + int.from_bytes(content[at + 2 : at + 4], 'big')
    return -1


def is_cut_short(content: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end; False for other formats.

    Decoders fill what is missing with grey, some of them silently. The
    check takes microseconds, as it only looks for markers. The end of a
    thumbnail, before the first scan, does not count; bytes after the end do
    no harm.

    Args:
        content: Bytes of an image file.
    """
    if content.startswith(_JPEG):
        start = _start_of_scan(content)
        return start < 0 or content.rfind(b'\xff\xd9', start) < 0
    return content.startswith(_PNG) and content.rfind(b'IEND') < 0


@TRANSFORMS.register_module()
class LoadImageFromFile(MMCVLoadImageFromFile):
    """mmcv's transform, with an error that names what cannot be loaded.

    It refuses files that are unreadable, empty, cut short (see
    :func:`is_cut_short`) or not images. (Depending on OpenCV's version,
    mmcv's transform accepts a grey remainder.) Whatever the file holds
    (grey, palette, 16 bits, CMYK, alpha), the image is (H, W, 3) uint8, BGR.
    Alpha is dropped, and pixels keep the colour stored beneath it, as with
    PIL's ``convert('RGB')``.

    It has mmcv's name because mmpretrain's inferencer removes the step of
    this name from a pipeline. In a config:
    ``dict(type='LoadImageFromFile', _scope_='bcl_mm')``.

    Args:
        **kwargs: Arguments of mmcv's transform, except ``ignore_empty``.

    Raises:
        ValueError: ``ignore_empty`` is given: it replaces images silently.
    """

    def __init__(self, **kwargs: Any) -> None:
        if kwargs.get('ignore_empty'):
            raise InputValueError(
                'ignore_empty must be False, got True: it replaces images '
                'silently. CorruptImageHook(on_corrupt="skip") leaves them '
                'out and lists them'
            )
        super().__init__(**kwargs)

    def read(self, path: str) -> bytes:
        """Bytes of an image file.

        Raises:
            CorruptImageError: The file is unreadable, empty or cut short.
        """
        try:
            # Not through FileClient, mmcv's older way.
            content = fileio.get(path, backend_args=self.backend_args)
        except (OSError, ValueError) as error:  # ValueError: a null byte
            cause = getattr(error, 'strerror', None) or error
            raise _corrupt(path, f'cannot be read: {cause}') from error
        if not content:
            raise _corrupt(path, 'is empty')
        if is_cut_short(content):
            raise _corrupt(
                path, f'is cut short: it ends after {len(content)} bytes'
            )
        return content

    def decode(self, path: str, content: bytes) -> np.ndarray:
        """Pixels of an image: (H, W, 3) uint8 BGR, by default.

        Args:
            path: Name of the image in an error.
            content: Bytes of its file.

        Raises:
            CorruptImageError: They cannot be decoded.
        """
        try:
            img = mmcv.imfrombytes(
                content, flag=self.color_type, backend=self.imdecode_backend
            )
        except Exception as error:  # each decoder has its own
            raise _corrupt(path, f'cannot be decoded: {error}') from error
        if img is None:
            raise _corrupt(path, 'is not an image, or is too damaged')
        return img.astype(np.float32) if self.to_float32 else img

    def transform(self, results: dict) -> dict:
        """Load ``results['img_path']``.

        Raises:
            CorruptImageError: The image cannot be loaded.
        """
        path = results['img_path']
        results['img'] = self.decode(path, self.read(path))
        results['img_shape'] = results['ori_shape'] = results['img'].shape[:2]
        return results


def _corrupt(path: str, cause: str) -> CorruptImageError:
    # repr: a name that is not UTF-8 could not be printed.
    return CorruptImageError(f'image {path!r} {cause}')


def replace_dataset(runner: Runner, dataset: Any) -> None:
    """Let training read another dataset, of the same length and order."""
    loader = runner.train_dataloader
    # DataLoader refuses it, for its samplers' sake: here they stay.
    vars(loader)['dataset'] = dataset
    # A loop that counts iterations made its reader when it was built, before
    # any hook could run; workers have drawn from the endless sampler since.
    reader = getattr(runner.train_loop, 'dataloader_iterator', None)
    if reader is not None:
        loader._iterator = None  # of persistent workers
        if hasattr(loader.sampler, '_indices_of_rank'):
            loader.sampler.indices = loader.sampler._indices_of_rank()
        runner.train_loop.dataloader_iterator = type(reader)(loader)


class _SkippingDataset:
    """Replaces images that cannot be loaded by others of their class."""

    left_out = 'left_out'  # what a sample's news are called

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.labels = labels_of(dataset)

    def __getitem__(self, index: int) -> Any:
        try:
            return self.dataset[index]
        except CorruptImageError as error:
            return self._another(index, error)

    def _another(self, index: int, error: CorruptImageError) -> Any:
        label = self.labels[index]
        left_out = [str(error)]
        members = np.flatnonzero(self.labels == label)
        # SampleSeedHook has seeded this draw by epoch and index.
        for other in np.random.permutation(members[members != index]):
            try:
                data = self.dataset[int(other)]
            except CorruptImageError as another:
                left_out.append(str(another))
                continue
            # With the sample the news come from workers to the hook.
            data['data_samples'].set_field(
                left_out, self.left_out, field_type='metainfo'
            )
            return data
        raise CorruptImageError(
            f'{error}; no other image of class {label} can be loaded to take '
            'its place'
        )

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name == 'dataset':  # while being unpickled
            raise AttributeError(name)
        return getattr(self.dataset, name)


@HOOKS.register_module()
class CorruptImageHook(Hook):
    """Says what becomes of training images that cannot be loaded.

    ``'error'`` lets the error of ``bcl_mm``'s :class:`LoadImageFromFile`, in
    a data worker too, end training. ``'skip'`` takes another image of the
    same class, drawn anew each time (by the sample's own seed, with
    :class:`~bcl_mm.engine.hooks.SampleSeedHook`), so that batches and the
    balance of classes stay; at the end of each epoch a warning counts the
    samples that were replaced, on all ranks, and lists each damaged image
    once. Class counts still count them. Where no image of a class can be
    loaded, training ends. Validation and test images are never skipped: a test
    without some of its images is another test.

    Put it into ``default_hooks``: ``--cfg-options
    default_hooks.corrupt_images.on_corrupt=skip``.

    Args:
        on_corrupt: ``'error'`` or ``'skip'``. Defaults to ``'error'``.

    Raises:
        ValueError: ``on_corrupt`` is neither.
    """

    # Before SampleSeedHook (NORMAL), which must seed what this one draws.
    priority = 'ABOVE_NORMAL'

    def __init__(self, on_corrupt: str = 'error') -> None:
        if on_corrupt not in ('error', 'skip'):
            raise InputValueError(
                f"on_corrupt must be 'error' or 'skip', got {on_corrupt!r}"
            )
        self.on_corrupt = on_corrupt
        self._left_out: List[str] = []
        self._num_replaced = 0

    def before_train(self, runner: Runner) -> None:
        """Let the training dataset replace images, if it shall."""
        dataset = runner.train_dataloader.dataset
        trained_before = hasattr(dataset, _SkippingDataset.left_out)
        if self.on_corrupt == 'skip' and not trained_before:
            replace_dataset(runner, _SkippingDataset(dataset))

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[Dict] = None,
    ) -> None:
        """Note what the batch's samples stand for; report after an epoch."""
        if self.on_corrupt == 'error':
            return
        for sample in data_batch['data_samples']:
            # More than one, where its first substitutes failed as well.
            left_out = sample.get(_SkippingDataset.left_out, [])
            self._left_out += left_out
            self._num_replaced += bool(left_out)
        # runner.epoch stays 0 where training counts iterations.
        done = runner.iter + 1
        length = len(runner.train_dataloader)
        if done % length == 0 or done == runner.max_iters:
            self._report(runner, epoch=-(-done // length))

    def _report(self, runner: Runner, epoch: int) -> None:
        parts = all_gather_object((set(self._left_out), self._num_replaced))
        self._left_out, self._num_replaced = [], 0
        errors = sorted(set().union(*(errors for errors, _ in parts)))
        if errors:
            replaced = sum(number for _, number in parts)
            runner.logger.warning(
                f'Epoch {epoch}: {len(errors)} images could not be loaded; '
                f'{replaced} samples were replaced by others of their '
                'class:\n' + '\n'.join(errors)
            )
