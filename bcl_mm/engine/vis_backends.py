"""Where logs go, beside MMEngine's own backends."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config
from mmengine.visualization import WandbVisBackend as MMEngineWandbVisBackend

from bcl_mm.registry import VISBACKENDS


@VISBACKENDS.register_module()
class WandbVisBackend(MMEngineWandbVisBackend):
    """MMEngine's backend for Weights & Biases, without its copy of code.

    That one uploads all Python files below the current folder, and looks for
    them in every folder: 15,000 of a virtual environment, and through all of
    a data set's. The arguments are the same.
    """

    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Hand on the config of the run."""
        self.experiment.config.update(config.to_dict())
