"""Trained models and their predictions."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.device import get_device
from mmengine.model import BaseModel
from mmpretrain import ImageClassificationInferencer, get_model
from mmpretrain.datasets.transforms.utils import get_transform_idx
from torch.utils.data import DataLoader, Dataset

from bcl_mm.apis.config import complete_model, load_config
from bcl_mm.apis.trained_models import find_model
from bcl_mm.classes import ClassInfo, printable
from bcl_mm.datasets.folders import describe_left_out, find_images
from bcl_mm.datasets.transforms.loading import (
    IMAGE_ENDINGS,
    CorruptImageError,
    LoadImageFromFile,
)
from bcl_mm.evaluation.temperature import scale_scores
from bcl_mm.utils.checkpoint import load_checkpoint
from bcl_mm.utils.errors import InputValueError, MissingFileError, check_number
from bcl_mm.utils.modules import projection_of, set_class_info
from bcl_mm.utils.protocols import Projects
from bcl_mm.utils.weights import is_only_for_training, misfits, weights_of

PathLike = Union[str, Path]


def load_test_config(
    config: Union[PathLike, Config],
    checkpoint: PathLike,
    cfg_options: Optional[Sequence[str]] = None,
    allow_code: bool = False,
) -> Config:
    """Load a config for the test of a checkpoint.

    Args:
        config: The config, its path, or the name of one of the package.
        checkpoint: Path or address of the checkpoint. It sets the number of
            classes if the config takes that from the data.
        cfg_options: ``KEY=VALUE`` settings that override the config's.
            Defaults to None.
        allow_code: Whether a ``config.json`` may name code that is not
            registered. Defaults to False.

    Raises:
        MissingFileError: The config or the checkpoint does not exist.
        InputValueError: One of them is damaged, or they do not fit.
    """
    # What load_config reads of the command line.
    args = argparse.Namespace(
        config=config if isinstance(config, Config) else str(config),
        checkpoint=str(checkpoint),
        cfg_options=cfg_options or [],
        allow_code=allow_code,
    )
    cfg = load_config(args)
    complete_model(cfg, str(checkpoint))
    return cfg


def load_model(
    config: Union[PathLike, Config],
    checkpoint: Optional[PathLike] = None,
    *,
    select: Optional[str] = None,
    cfg_options: Optional[Sequence[str]] = None,
    allow_code: bool = False,
    posthoc_tau: Optional[float] = None,
    device: Optional[str] = None,
    projects: Optional[bool] = False,
) -> Tuple[Config, BaseModel]:
    """Load the model of a work dir, or of a config and a checkpoint, to test.

    Args:
        config: The work dir of a training, or a checkpoint in one; or, with
            ``checkpoint``, the config, its path, or the name of one of the
            package.
        checkpoint: Path or address of the checkpoint. Defaults to None: that
            of the work dir.
        select: Which checkpoint of a work dir, ``'last'`` or ``'best'``.
            Defaults to None: the last.
        cfg_options: ``KEY=VALUE`` settings that override the config's.
            Defaults to None.
        allow_code: Whether a ``config.json`` may name code that is not
            registered. Defaults to False.
        posthoc_tau: Subtract this many times the log of the training set's
            class prior from the logits. Defaults to None: as in the config.
        device: Such as ``'cuda:1'`` or ``'cpu'``. Defaults to None: a GPU if
            there is one.
        projects: Whether the projector must be loaded; None loads it if the
            model has one. Defaults to False.

    Returns:
        The config, and the model in evaluation mode, on its device, which
        mmpretrain's inferencer takes.

    Raises:
        MissingFileError: The config or the checkpoint does not exist.
        InputValueError: The checkpoint is damaged or of another model, or the
            config or the head lacks what is needed.

    Example:
        The model of :func:`~bcl_mm.apis.training.train`'s example, applied to
        an image of that size:

        >>> cfg, model = load_model('digits', device='cpu')
        >>> cfg.model.head.type, model.head.class_counts.tolist()[:4]
        ('bcl_mm.BCLHead', [120, 77, 50, 32])
        >>> images = torch.zeros(1, 1, 8, 8)  # levels from 0 to 255
        >>> inputs = model.data_preprocessor(dict(inputs=images))['inputs']
        >>> model(inputs, mode='tensor').shape  # logits
        torch.Size([1, 10])
    """
    found = find_model(config, checkpoint, select, allow_code)
    cfg = load_test_config(
        found.config, found.checkpoint, cfg_options, allow_code
    )
    content = load_checkpoint(found.checkpoint)
    if 'pipeline' not in (cfg.get('test_dataloader') or {}).get('dataset', {}):
        raise InputValueError(
            f'{cfg.filename} has no test_dataloader.dataset.pipeline, which '
            'prepares the images'
        )
    model = get_model(cfg)
    head = getattr(model, 'head', None)  # some classifiers have none
    has_projector = projection_of(head) is not None
    if projects and not has_projector:
        raise InputValueError(
            f'{type(head).__name__} of {cfg.filename} has no projector: '
            'only a head with a branch such as PrototypeContrast has one'
        )
    projects = has_projector if projects is None else projects
    weights = weights_of(content)
    wrong = misfits(model, weights)
    needed = [n for n in wrong if not is_only_for_training(n, projects)]
    if needed:
        raise InputValueError(
            f'the checkpoint {found.checkpoint!r} does not fit the model of '
            f'{cfg.filename}: '
            + '; '.join(f'{name} {wrong[name]}' for name in needed[:3])
        )
    fitting = {k: v for k, v in weights.items() if k not in wrong}
    model.load_state_dict(fitting, strict=False)
    meta = content.get('meta', {})
    model._dataset_meta = meta.get('dataset_meta', model._dataset_meta)
    info = ClassInfo.from_meta(meta)
    if info is not None:
        set_class_info(model, info)
    if posthoc_tau is not None:
        check_number('posthoc_tau', posthoc_tau)
        if head is None or not hasattr(head, 'posthoc_tau'):
            raise InputValueError(
                'posthoc_tau needs a head that knows the class counts, '
                f'bcl_mm.BCLHead: the config has {type(head).__name__}'
            )
        head.posthoc_tau = posthoc_tau
    if head is not None and getattr(head, 'posthoc_tau', None):
        head.log_prior()  # raises an error now if there are no class counts
    return cfg, _place(model.eval(), device or get_device())


def _place(model: BaseModel, device: str) -> BaseModel:
    """Move a model to a device.

    Raises:
        InputValueError: The device is unknown, or cannot be used.
    """
    try:
        if torch.device(device).type == 'meta':
            raise RuntimeError('it holds no numbers')
        return model.to(device)
    except (AssertionError, RuntimeError) as error:  # torch's
        reason = str(error).partition('\n')[0]
        raise InputValueError(
            f'the device {device!r} cannot be used: {reason}'
        ) from error


def class_names(model: BaseModel, num_classes: int) -> List[str]:
    """Names of a model's classes; their numbers where it has no names.

    Example:
        The model of :func:`~bcl_mm.apis.training.train`'s example:

        >>> _, model = load_model('digits')
        >>> class_names(model, 10)[:3]
        ['0', '1', '2']
        >>> class_names(model, 4)  # the names are of other classes
        ['0', '1', '2', '3']
    """
    names: Any = model._dataset_meta.get('classes')
    # A checkpoint without names leaves those of the config's data set, which
    # may be of other data.
    if names is None or len(names) != num_classes:
        names = range(num_classes)
    return list(map(str, names))


def list_images(inputs: Sequence[PathLike]) -> List[str]:
    """List images among files and folders; those of a folder are sorted.

    Folders are read as for training: at any depth, without hidden files.
    Other files in them are told on stderr.

    Args:
        inputs: Files, which are taken as they are, and folders.

    Raises:
        MissingFileError: An input does not exist, or a folder has no image.

    Example:
        >>> for name in ('b.png', 'a.jpg', '.hidden.png'):
        ...     Path(name).touch()
        >>> list_images(['.'])
        ['a.jpg', 'b.png']
    """
    paths: List[str] = []
    for entry in map(Path, inputs):
        if not entry.exists():
            raise MissingFileError(f'image or folder {entry} does not exist')
        if not entry.is_dir():
            paths.append(str(entry))
            continue
        images, others = find_images(str(entry))
        if not images:
            raise MissingFileError(
                f'folder {entry} has no image ({" ".join(IMAGE_ENDINGS)})'
            )
        paths += [str(entry / image) for image in images]
        if others:
            note = f'{printable(str(entry))}: {describe_left_out(others)}'
            print(note, file=sys.stderr, flush=True)
    return paths


# An image, prepared; or None, and its error.
_Sample = Tuple[Optional[Dict[str, Any]], Optional[str]]


class _Images(Dataset[_Sample]):
    """Image files that are to be predicted."""

    def __init__(
        self,
        paths: Sequence[str],
        load: Callable[..., Any],
        pipeline: Callable[..., Any],
    ) -> None:
        self.paths = paths
        self.load = load
        self.pipeline = pipeline

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> _Sample:
        try:
            results = self.load(dict(img_path=self.paths[index]))
        except CorruptImageError as error:
            return None, str(error)
        return self.pipeline(results), None


def _collate(
    samples: Sequence[_Sample],
) -> Tuple[Optional[Dict[str, Any]], List[Optional[str]]]:
    """Batch of the images that have no error, and the error of each image."""
    images = [image for image, error in samples if error is None]
    errors = [error for _, error in samples]
    return default_collate(images) if images else None, errors


class Prediction(NamedTuple):
    """Scores (C,) and features (D,) of an image, or its error.

    Example:
        >>> seen = Prediction('a.png', scores=np.array([0.2, 0.8]))
        >>> broken = Prediction('b.png', 'b.png is empty')
        >>> for image in (seen, broken):
        ...     print(image.path, image.error or image.scores.argmax())
        a.png 1
        b.png b.png is empty
    """

    path: str
    error: Optional[str] = None
    scores: Optional[np.ndarray] = None
    features: Optional[np.ndarray] = None


class Predictor:
    """mmpretrain's inferencer, with an error for each image it cannot load.

    Args:
        model: Of :func:`load_model`.
        feature_kind: ``'backbone'`` (the classifier's input),
            ``'projected'`` (unit norm), or None for no features. Defaults to
            None.
        temperature: Divides the logits. Defaults to 1.

    Raises:
        InputValueError: ``feature_kind`` is ``'projected'``, but no branch of
            the head projects.

    Example:
        The model of :func:`~bcl_mm.apis.training.train`'s example, a zero, and
        a file that is not an image:

        >>> import cv2
        >>> from sklearn.datasets import load_digits
        >>> digit = load_digits().images[0]  # (8, 8), 0 to 16
        >>> cv2.imwrite('0.png', (digit * 15).astype(np.uint8))
        True
        >>> Path('none.png').write_text('')
        0
        >>> predictor = Predictor(load_model('digits')[1], 'projected')
        >>> zero, none = predictor.predict(['0.png', 'none.png'])
        >>> int(zero.scores.argmax()), zero.scores.shape, zero.features.shape
        (0, (10,), (64,))
        >>> none.error
        "image 'none.png' is empty"
    """

    def __init__(
        self,
        model: BaseModel,
        feature_kind: Optional[str] = None,
        temperature: float = 1.0,
    ) -> None:
        self.temperature = temperature
        self.inferencer = ImageClassificationInferencer(model)
        self.feature_kind = feature_kind
        self.projection: Optional[Projects] = None
        if feature_kind == 'projected':
            self.projection = projection_of(model.head)
            if self.projection is None:
                raise InputValueError(
                    "feature_kind='projected' needs a head with a projector, "
                    f'got {type(model.head).__name__}'
                )
        # The inferencer drops this step, and with it its settings.
        pipeline = model._config.test_dataloader.dataset.pipeline
        index = get_transform_idx(pipeline, 'LoadImageFromFile')
        settings = dict(pipeline[index]) if index >= 0 else {}
        for name in ('type', '_scope_', 'ignore_empty'):
            settings.pop(name, None)
        self.load = LoadImageFromFile(**settings)

    def predict(
        self, paths: List[str], batch_size: int = 32, workers: int = 0
    ) -> Iterator[Prediction]:
        """Predict images, in their order.

        Args:
            paths: Image files.
            batch_size: Images per batch. Defaults to 32.
            workers: Processes that load images, if there is more than one
                batch. Defaults to 0: the calling process loads them.
        """
        loader = DataLoader(
            _Images(paths, self.load, self.inferencer.pipeline),
            batch_size,
            num_workers=workers if len(paths) > batch_size else 0,
            collate_fn=_collate,
        )
        path = iter(paths)
        for batch, errors in loader:
            outputs = self._forward(batch) if batch is not None else iter(())
            for error in errors:
                output = next(outputs) if error is None else ()
                yield Prediction(next(path), error, *output)

    @torch.no_grad()
    def _forward(
        self, batch: Dict[str, Any]
    ) -> Iterator[Tuple[np.ndarray, Optional[np.ndarray]]]:
        """Scores (C,) and features (D,) of each image of a batch."""
        features: List[Optional[np.ndarray]] = [None] * len(batch['inputs'])
        if self.feature_kind is None:
            samples = self.inferencer.forward(batch)
        else:
            model = self.inferencer.model
            data = model.data_preprocessor(batch)
            feats = model.extract_feat(data['inputs'])
            samples = model.head.predict(feats, data['data_samples'])
            rows = model.head.pre_logits(feats)  # (rows, D)
            if self.projection is not None:
                rows = self.projection.project(rows)
            features = list(rows.float().cpu().numpy())
        scores = torch.stack([sample.pred_score for sample in samples])
        found = scale_scores(scores.float().cpu().numpy(), self.temperature)
        return zip(found, features)
