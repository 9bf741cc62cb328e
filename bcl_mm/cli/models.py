"""The trained model that the words of a command name."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Optional, Tuple

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.model import BaseModel

    from bcl_mm.apis.trained_models import FoundModel


def load_named_model(
    args: argparse.Namespace, device: Optional[str], projects: bool = False
) -> Tuple[FoundModel, Config, BaseModel]:
    """Find a model and load it; say on stderr which one it is.

    Args:
        args: With what :func:`~bcl_mm.cli.options.add_model_options` adds.
        device: See :func:`~bcl_mm.apis.inference.load_model`.
        projects: See there. Defaults to False.

    Raises:
        InputError: It does not exist, or cannot be used.
    """
    from bcl_mm.apis.inference import load_model
    from bcl_mm.apis.trained_models import find_model

    found = find_model(
        args.config, args.checkpoint, args.select, args.allow_code
    )
    cfg, model = load_model(
        found.config,
        found.checkpoint,
        cfg_options=args.cfg_options,
        allow_code=args.allow_code,
        posthoc_tau=args.posthoc_tau,
        device=device,
        projects=projects,
    )
    print(f'Model: {found.summary}', file=sys.stderr, flush=True)
    return found, cfg, model
