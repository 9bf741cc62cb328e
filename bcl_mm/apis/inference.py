"""A trained model, and what it says of images."""

from __future__ import annotations

import argparse
from typing import (
    Any,
    Callable,
    Iterator,
    List,
    NamedTuple,
    Optional,
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

from bcl_mm.apis.config import add_cfg_options, complete_model, load_config
from bcl_mm.datasets.transforms.loading import (
    CorruptImageError,
    LoadImageFromFile,
)
from bcl_mm.utils.checkpoint import (
    is_only_for_training,
    load_checkpoint,
    misfits,
    weights_of,
)
from bcl_mm.utils.errors import InputValueError, check_number


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that :func:`load_model` takes."""
    parser.add_argument('config', help='path of the config')
    parser.add_argument('checkpoint', help='path of the checkpoint')
    parser.add_argument(
        '--posthoc-tau',
        type=float,
        metavar='T',
        help="subtract T times the log of the training set's class prior "
        'from the logits: 1 turns a model of plain cross-entropy to balanced '
        'images, -1 turns one of logit adjustment or BCL to images as '
        "unbalanced as the training set (default: the config's, which is 0)",
    )
    add_cfg_options(parser)


def load_model(
    args: argparse.Namespace, projects: Optional[bool] = False
) -> Tuple[Config, BaseModel]:
    """The model of a config with the weights of a checkpoint, for testing.

    Args:
        args: With what :func:`add_model_options` adds, and ``device``, None
            for the best there is.
        projects: Whether the projector is needed, too; None if it is where
            there is one. Defaults to False.

    Returns:
        The config, and the model on its device, which mmpretrain's
        inferencer takes.

    Raises:
        FileNotFoundError: The config or the checkpoint does not exist.
        ValueError: The checkpoint is damaged or of another model, or the
            config or the head lacks what is needed.
    """
    cfg = load_config(args)
    content = load_checkpoint(args.checkpoint)
    complete_model(cfg, args.checkpoint)
    if 'pipeline' not in (cfg.get('test_dataloader') or {}).get('dataset', {}):
        raise InputValueError(
            f'{args.config} has no test_dataloader.dataset.pipeline, which '
            'images go through'
        )
    model = get_model(cfg)
    head = getattr(model, 'head', None)  # some classifiers have none
    has_projector = getattr(head, 'projector', None) is not None
    projects = has_projector if projects is None else projects
    if projects and not has_projector:
        raise InputValueError(
            f'{type(head).__name__} of {args.config} has no projector: '
            'only a BCLHead with loss_con has one'
        )
    weights = weights_of(content)
    wrong = misfits(model, weights)
    needed = [n for n in wrong if not is_only_for_training(n, projects)]
    if needed:
        raise InputValueError(
            f'the checkpoint {args.checkpoint!r} does not fit the model of '
            f'{args.config}: '
            + '; '.join(f'{name} {wrong[name]}' for name in needed[:3])
        )
    fitting = {k: v for k, v in weights.items() if k not in wrong}
    model.load_state_dict(fitting, strict=False)
    model._dataset_meta = content.get('meta', {}).get(
        'dataset_meta', model._dataset_meta
    )
    if args.posthoc_tau is not None:
        check_number('--posthoc-tau', args.posthoc_tau)
        if not hasattr(head, 'posthoc_tau'):
            raise InputValueError(
                '--posthoc-tau needs a head that knows the class counts, '
                f'bcl_mm.BCLHead: the config has {type(head).__name__}'
            )
        head.posthoc_tau = args.posthoc_tau
    if getattr(head, 'posthoc_tau', 0):
        head.log_prior()  # an error now, if there is none
    return cfg, model.eval().to(args.device or get_device())


def class_names(model: BaseModel, num_classes: int) -> List[str]:
    """Names of a model's classes; their numbers where it has no names."""
    names: Any = model._dataset_meta.get('classes')
    # Those of the config's data set, where a checkpoint has none, may be of
    # other data.
    if names is None or len(names) != num_classes:
        names = range(num_classes)
    return [str(name) for name in names]


class Images(Dataset):
    """Images as the model takes them, or the error of one as text."""

    def __init__(
        self, paths: List[str], load: Callable, pipeline: Callable
    ) -> None:
        self.paths = paths
        self.load = load
        self.pipeline = pipeline

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Union[dict, str]:
        try:
            results = self.load(dict(img_path=self.paths[index]))
        except CorruptImageError as error:
            return str(error)
        return self.pipeline(results)


def collate(
    items: List[Union[dict, str]],
) -> Tuple[Optional[dict], List[Optional[str]]]:
    """Batch of the images among the items, and the error of each item."""
    images = [item for item in items if not isinstance(item, str)]
    errors = [item if isinstance(item, str) else None for item in items]
    return default_collate(images) if images else None, errors


class Prediction(NamedTuple):
    """What is known of an image: its error, or scores (C,), features (D,)."""

    path: str
    error: Optional[str] = None
    scores: Optional[np.ndarray] = None
    features: Optional[np.ndarray] = None


class Predictor:
    """mmpretrain's inferencer, which goes past images that cannot be loaded.

    Args:
        model: Of :func:`load_model`.
        feature_kind: ``'backbone'`` (what the classifier sees),
            ``'projected'`` (unit norm), or None for no features.
    """

    def __init__(
        self, model: BaseModel, feature_kind: Optional[str] = None
    ) -> None:
        self.inferencer = ImageClassificationInferencer(model)
        self.feature_kind = feature_kind
        # The inferencer leaves out this step, and its settings.
        pipeline = model._config.test_dataloader.dataset.pipeline
        index = get_transform_idx(pipeline, 'LoadImageFromFile')
        settings = dict(pipeline[index]) if index >= 0 else {}
        for name in ('type', '_scope_', 'ignore_empty'):
            settings.pop(name, None)
        self.load = LoadImageFromFile(**settings)

    def predict(
        self, paths: List[str], batch_size: int = 32, workers: int = 0
    ) -> Iterator[Prediction]:
        """Predictions of images, in their order.

        Args:
            paths: Image files.
            batch_size: Images at once. Defaults to 32.
            workers: Processes that load more than one batch. Defaults to 0:
                this one does.
        """
        loader = DataLoader(
            Images(paths, self.load, self.inferencer.pipeline),
            batch_size,
            num_workers=workers if len(paths) > batch_size else 0,
            collate_fn=collate,
        )
        path = iter(paths)
        for batch, errors in loader:
            answers = iter(()) if batch is None else self._forward(batch)
            for error in errors:
                found = next(answers) if error is None else ()
                yield Prediction(next(path), error, *found)

    @torch.no_grad()
    def _forward(
        self, batch: dict
    ) -> Iterator[Tuple[np.ndarray, Optional[np.ndarray]]]:
        """Scores and features of each image of a batch."""
        features = [None] * len(batch['inputs'])
        if self.feature_kind is None:
            samples = self.inferencer.forward(batch)
        else:
            model = self.inferencer.model
            data = model.data_preprocessor(batch)
            feats = model.extract_feat(data['inputs'])
            samples = model.head.predict(feats, data['data_samples'])
            features = model.head.pre_logits(feats)  # (rows, D)
            if self.feature_kind == 'projected':
                features = model.head.project(features)
            features = features.float().cpu().numpy()
        scores = torch.stack([sample.pred_score for sample in samples])
        return zip(scores.float().cpu().numpy(), features)
