"""Predictions of a test, as a file."""

from __future__ import annotations

import pickle
from typing import Any, Sequence

from mmengine.evaluator import DumpResults
from torch import Tensor

from bcl_mm.registry import METRICS
from bcl_mm.utils.files import write_atomically


def _own_copy(data: Any) -> Any:
    """Copy of nested data whose tensors are on the CPU and share nothing."""
    if isinstance(data, Tensor):
        return data.detach().to('cpu', copy=True).contiguous()
    if isinstance(data, dict):
        return {key: _own_copy(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return type(data)(_own_copy(value) for value in data)
    return data


@METRICS.register_module()
class DumpPredictions(DumpResults):
    """MMEngine's ``DumpResults``, with files of their proper size.

    The tensors of a prediction are often rows of a whole batch, which a
    pickled row takes along. The file appears when it is complete.

    Example:
        Two images of one batch:

        >>> import torch
        >>> metric = DumpPredictions(out_file_path='predictions.pkl')
        >>> scores = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
        >>> metric.process(None, [dict(pred_score=row) for row in scores])
        >>> metric.evaluate(size=2)
        {}
        >>> with open('predictions.pkl', 'rb') as file:
        ...     saved = pickle.load(file)
        >>> saved[1]['pred_score']
        tensor([0.2000, 0.8000])
    """

    default_prefix = 'dump'  # of no figure; without one MMEngine warns

    def process(self, data_batch: Any, predictions: Sequence[dict]) -> None:
        """Keep predictions, and nothing of their batch."""
        self.results.extend(_own_copy(list(predictions)))

    def compute_metrics(self, results: list) -> dict:
        """Write the file; there are no figures.

        Raises:
            InputFileError: It cannot be written.
        """
        write_atomically(pickle.dumps(results), self.out_file_path)
        return {}
