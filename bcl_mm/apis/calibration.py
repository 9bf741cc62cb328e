"""Calibration of a trained model, and its file in the work dir."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePath
from typing import Any, Dict, Optional, Tuple, Union

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from bcl_mm.apis.build_errors import explained_build_errors
from bcl_mm.apis.config import check_data_roots
from bcl_mm.apis.run_files import read_json
from bcl_mm.apis.runs import tests_on_validation
from bcl_mm.apis.trained_models import FoundModel
from bcl_mm.datasets.custom import CustomImages
from bcl_mm.evaluation.calibration import CalibrationError
from bcl_mm.evaluation.temperature import (
    choose_threshold,
    fit_temperature,
    negative_log_likelihood,
    scale_scores,
)
from bcl_mm.utils.downloads import fetch
from bcl_mm.utils.errors import InputValueError, check_number
from bcl_mm.utils.files import write_atomically
from bcl_mm.utils.progress import show_progress

CALIBRATION_JSON = 'calibration.json'


@dataclass
class Calibration:
    """Temperature and threshold of a model, and what they are bound to.

    Attributes:
        temperature: Divides the logits, after ``posthoc_tau``.
        threshold: Least score of the best class with which an image is
            accepted; below it, the model abstains.
        target_accuracy: That the threshold was chosen for.
        checkpoint: Name of the checkpoint.
        digest: SHA-256 of that file.
        settings: SHA-256 of the config's model and test pipeline.
        posthoc_tau: Of the model.
        num_fitted: Validation images that it was fitted to.
        measured_on: ``'test'``, or ``'validation'``: the same images.
        num_measured: Images of the figures below.
        nll_before: Mean negative log-likelihood without them, in nats.
        nll_after: The same with them.
        ece_before: Expected calibration error without them, in percent.
        ece_after: The same with them.
        accuracy: Of all images, in percent.
        accepted: Images that are accepted, in percent.
        accuracy_accepted: Of these, in percent; None if there are none.

    Example:
        What temperature and threshold do to the scores of two images:

        >>> scores = np.array([[0.6, 0.4], [0.9, 0.1]])
        >>> best = scale_scores(scores, temperature=2.0).max(axis=1)
        >>> best.round(2), best >= 0.7  # threshold=0.7
        (array([0.55, 0.75]), array([False,  True]))
    """

    temperature: float
    threshold: float
    target_accuracy: float
    checkpoint: str
    digest: str
    settings: str
    posthoc_tau: float
    num_fitted: int
    measured_on: str
    num_measured: int
    nll_before: float
    nll_after: float
    ece_before: float
    ece_after: float
    accuracy: float
    accepted: float
    accuracy_accepted: Optional[float]

    def save(self, folder: Path) -> Path:
        """Write ``calibration.json`` to a work dir; returns its path.

        Raises:
            InputFileError: It cannot be written.
        """
        path = folder / CALIBRATION_JSON
        write_atomically(json.dumps(asdict(self), indent=1), path)
        return path


def read_calibration(folder: Union[str, Path]) -> Optional[Calibration]:
    """Read the ``calibration.json`` of a work dir; None if there is none.

    Raises:
        InputFileError: It cannot be read.
        InputTypeError, InputValueError: It is damaged; the message names it,
            and the entry.

    Example:
        The model of :func:`~bcl_mm.apis.training.train`'s example:

        >>> from bcl_mm.apis.inference import load_model
        >>> from bcl_mm.apis.trained_models import find_model
        >>> result = calibrate(find_model('digits'), *load_model('digits'))
        >>> result.save(Path('digits')).name
        'calibration.json'
        >>> read_calibration('digits') == result
        True
    """
    path = Path(folder, CALIBRATION_JSON)
    if not path.is_file():
        return None
    content = read_json(path)
    names = {field.name for field in fields(Calibration)}
    if set(content) != names:
        wrong = ', '.join(sorted(names.symmetric_difference(content)))
        raise InputValueError(f'{path} is damaged: it lacks, or adds, {wrong}')
    prefix = f'{path}: '
    check_number(f'{prefix}temperature', content['temperature'], above=0)
    threshold = content['threshold']
    check_number(f'{prefix}threshold', threshold, at_least=0, at_most=1)
    check_number(f'{prefix}posthoc_tau', content['posthoc_tau'])
    for name in ('checkpoint', 'digest', 'settings'):
        if not isinstance(content[name], str):
            raise InputValueError(f'{path} is damaged: {name} must be text')
    return Calibration(**content)


def _digest_file(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def _binding(
    found: FoundModel, cfg: Config, model: BaseModel
) -> Dict[str, Any]:
    """What a calibration is bound to."""
    pipeline = cfg.test_dataloader.dataset.pipeline
    settings = json.dumps(
        [cfg.model, pipeline], sort_keys=True, default=str
    ).encode()
    return dict(
        checkpoint=PurePath(found.checkpoint).name,
        digest=_digest_file(fetch(found.checkpoint)),
        settings=hashlib.sha256(settings).hexdigest(),
        posthoc_tau=float(getattr(model.head, 'posthoc_tau', 0.0)),
    )


def find_calibration(
    found: FoundModel, cfg: Config, model: BaseModel
) -> Optional[Calibration]:
    """The calibration of a model; None if its work dir has none.

    Args:
        found: Of :func:`~bcl_mm.apis.trained_models.find_model`. (A model
            that is given as config and checkpoint has no work dir.)
        cfg: Config of :func:`~bcl_mm.apis.inference.load_model`.
        model: Its model.

    Raises:
        InputError: The file is damaged, or of another checkpoint, another
            ``posthoc_tau`` or other settings.
    """
    if found.folder is None:
        return None
    known = read_calibration(found.folder)
    if known is None:
        return None
    own = _binding(found, cfg, model)
    path = found.folder / CALIBRATION_JSON
    problem = None
    if own['digest'] != known.digest:
        problem = f'checkpoint ({known.checkpoint}), or that has changed'
    elif own['posthoc_tau'] != known.posthoc_tau:
        problem = (
            f'posthoc_tau, {known.posthoc_tau:g}, and the model has '
            f'{own["posthoc_tau"]:g}'
        )
    elif own['settings'] != known.settings:
        problem = 'config of the model or of its test pipeline'
    if problem:
        raise InputValueError(
            f'{path} is of another {problem}: calibrate {own["checkpoint"]} '
            'as it is used (bcl-mm calibrate), or leave the calibration out '
            '(--no-calibration)'
        )
    return known


def _build_loader(cfg: Config, name: str, **options: Any) -> DataLoader[Any]:
    """Build a data loader of a config, with other options of its dataset."""
    check_data_roots(cfg, (name,))
    loader = copy.deepcopy(cfg[name])
    loader.dataset.update(options)
    with explained_build_errors(cfg):
        built: DataLoader[Any] = Runner.build_dataloader(loader, seed=0)
    return built


def _test_loader(cfg: Config, validated: Any) -> Optional[DataLoader[Any]]:
    """Loader of test images; None if they are those of the validation.

    Args:
        cfg: The config.
        validated: Its dataset of validation images.
    """
    if not tests_on_validation(cfg):
        return _build_loader(cfg, 'test_dataloader')
    if isinstance(validated, CustomImages) and validated.has_test_part:
        return _build_loader(cfg, 'test_dataloader', split='test')
    return None


@torch.no_grad()
def _predict(
    loader: DataLoader[Any], model: BaseModel
) -> Tuple[np.ndarray, np.ndarray]:
    """Scores (N, C) and labels (N,) of a loader's images."""
    scores, labels = [], []
    for batch in show_progress(loader, len(loader), 'batches'):
        samples = model.test_step(batch)
        rows = torch.stack([sample.pred_score for sample in samples])
        scores.append(rows.float().cpu().numpy())
        labels += [int(sample.gt_label) for sample in samples]
    return np.concatenate(scores), np.array(labels)


def calibrate(
    found: FoundModel,
    cfg: Config,
    model: BaseModel,
    target_accuracy: float = 0.95,
) -> Calibration:
    """Fit temperature and threshold to the validation images of a config.

    Its figures are those of separate test images where the config or the
    data have them, otherwise of the same images.

    Args:
        found: Of :func:`~bcl_mm.apis.trained_models.find_model`.
        cfg: Config of :func:`~bcl_mm.apis.inference.load_model`.
        model: Its model.
        target_accuracy: Least accuracy of the images that are accepted, in
            (0, 1). Defaults to 0.95.

    Raises:
        InputError: There are no validation images, the target is not
            reached, or all images are classified correctly.

    Example:
        The model of :func:`~bcl_mm.apis.training.train`'s example:

        >>> from bcl_mm.apis.inference import load_model
        >>> from bcl_mm.apis.trained_models import find_model
        >>> result = calibrate(find_model('digits'), *load_model('digits'))
        >>> result.num_fitted, result.measured_on, result.num_measured
        (80, 'test', 500)
        >>> result.ece_after < result.ece_before
        True
        >>> result.accuracy_accepted > result.accuracy
        True
    """
    check_number('target_accuracy', target_accuracy, above=0, below=1)
    if not cfg.get('val_dataloader'):
        raise InputValueError(
            f'{cfg.filename} has no val_dataloader, whose images a '
            'calibration is fitted to'
        )
    loader = _build_loader(cfg, 'val_dataloader')
    scores, labels = _predict(loader, model)
    temperature = fit_temperature(scores, labels)
    num_fitted = len(labels)

    def scaled() -> Tuple[np.ndarray, np.ndarray]:
        confidences = scale_scores(scores, temperature).max(axis=1)
        return confidences, scores.argmax(axis=1) == labels

    threshold = choose_threshold(*scaled(), target_accuracy)
    test_loader = _test_loader(cfg, loader.dataset)
    if test_loader is not None:
        scores, labels = _predict(test_loader, model)

    def error(confidences: np.ndarray) -> float:
        counts = np.ones(scores.shape[1], np.int64)  # of no effect
        predictions = scores.argmax(axis=1)
        columns = predictions, labels, np.minimum(confidences, 1)
        return CalibrationError.calculate(*columns, counts)['ece']

    confidences, correct = scaled()
    accepts = confidences >= threshold
    right = correct[accepts]
    return Calibration(
        **_binding(found, cfg, model),
        temperature=temperature,
        threshold=threshold,
        target_accuracy=float(target_accuracy),
        num_fitted=num_fitted,
        measured_on='validation' if test_loader is None else 'test',
        num_measured=len(labels),
        nll_before=negative_log_likelihood(scores, labels),
        nll_after=negative_log_likelihood(scores, labels, temperature),
        ece_before=error(scores.max(axis=1)),
        ece_after=error(confidences),
        accuracy=100 * float(correct.mean()),
        accepted=100 * float(accepts.mean()),
        accuracy_accepted=100 * float(right.mean()) if len(right) else None,
    )
