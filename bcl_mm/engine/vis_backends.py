"""Visualizer backends beyond MMEngine's own."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config
from mmengine.visualization import WandbVisBackend as MMEngineWandbVisBackend

from bcl_mm.registry import VISBACKENDS


@VISBACKENDS.register_module()
class WandbVisBackend(MMEngineWandbVisBackend):
    """MMEngine's backend for Weights & Biases, without the upload of code.

    MMEngine's searches every folder below the current one, data sets too,
    for Python files and uploads them all: 15,000 files of a virtual
    environment. The arguments are the same.
    """

    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Add the config of the run."""
        self.experiment.config.update(config.to_dict())
