"""Options that several commands share; nothing heavy is imported."""

from __future__ import annotations

import argparse
from typing import Callable, Optional

# Types of --amp, by torch's names.
AMP_TYPES = dict(bf16='bfloat16', fp16='float16')


def whole_number(
    at_least: int, at_most: Optional[int] = None
) -> Callable[[str], int]:
    """Type of an argument: a whole number, written in digits alone.

    Args:
        at_least: The smallest number that is allowed.
        at_most: The largest. Defaults to None: any.
    """
    rule = f'>= {at_least}'
    if at_most is not None:
        rule = f'in [{at_least}, {at_most}]'

    def parse(text: str) -> int:
        is_plain = text.isdecimal() and text.isascii() and len(text) < 20
        number = int(text) if is_plain else -1
        fits = at_least <= number and (at_most is None or number <= at_most)
        if not fits or text != str(number):
            raise argparse.ArgumentTypeError(
                f'must be a whole number {rule}, got {text!r}'
            )
        return number

    return parse


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add the positional argument that names the config."""
    parser.add_argument(
        'config',
        metavar='CONFIG',
        help='path of a config, or the name of one that comes with bcl_mm',
    )


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that override settings of the config.

    ``args.cfg_options`` is a list of ``KEY=VALUE`` as they were typed, for
    :func:`bcl_mm.apis.config.load_config`.
    """

    def setting(text: str) -> str:
        if '=' not in text:
            raise argparse.ArgumentTypeError(
                f'must be KEY=VALUE, got {text!r}'
            )
        return text

    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        type=setting,
        default=[],
        metavar='KEY=VALUE',
        help='override settings of the config, such as '
        'optim_wrapper.optimizer.lr=0.2 or, for all data loaders, '
        'data_root=PATH; pretrained=FILE (or http(s)://..., '
        'torchvision://NAME, timm://NAME) starts from these weights',
    )
    parser.add_argument(
        '--allow-code',
        action='store_true',
        help='let the config of a run folder name code that is not part of '
        'bcl_mm, mmpretrain or MMEngine, which is then run',
    )


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of mmpretrain's tools that train and test share."""
    add_cfg_options(parser)
    add = parser.add_argument
    add('--work-dir', help='folder of logs and checkpoints')
    add(
        '-v',
        '--verbose',
        action='store_true',
        help='print the whole log (default: the progress; the log file in '
        'the work dir has everything)',
    )
    add(
        '--amp',
        nargs='?',
        const='auto',
        choices=['auto', *AMP_TYPES],
        help="mixed precision, of the device's usual type (auto, the default; "
        'fp16 on CUDA) or the given one',
    )
    add('--no-pin-memory', action='store_true', help='do not pin memory')
    add(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what starts the processes',
    )
    # torch.distributed.launch, torchrun's predecessor, passes this.
    add('--local_rank', '--local-rank', type=int, default=0)


def add_log_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that names more logging backends."""
    parser.add_argument(
        '--log',
        nargs='+',
        choices=['tensorboard', 'wandb'],
        default=[],
        help='also log to TensorBoard or Weights & Biases (Weights & Biases: '
        'after "wandb login", or with WANDB_MODE=offline)',
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name a trained model, for ``find_model``."""
    parser.add_argument(
        'config',
        metavar='MODEL',
        help='the work dir of a training, or a checkpoint in one; or a config '
        '(path or name) and its checkpoint',
    )
    parser.add_argument(
        'checkpoint',
        nargs='?',
        metavar='CHECKPOINT',
        help='path of the checkpoint, if MODEL is a config',
    )
    add_selection(parser)


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses a checkpoint of a work dir."""
    parser.add_argument(
        '--select',
        choices=['last', 'best'],
        help='which checkpoint of a work dir: the last (default), or the '
        'one that did best in validation, if training has kept it',
    )


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that ``bcl_mm.apis.inference.load_model`` takes."""
    add_model(parser)
    add_posthoc_tau(parser)
    add_cfg_options(parser)


def add_posthoc_tau(parser: argparse.ArgumentParser) -> None:
    """Add the option that adjusts the logits to another class prior."""
    parser.add_argument(
        '--posthoc-tau',
        type=float,
        metavar='T',
        help="subtract T times the log of the training set's class prior "
        'from the logits: 1 adapts a model of plain cross-entropy to balanced '
        'images, -1 adapts one of logit adjustment or BCL to images as '
        "unbalanced as the training set (default: the config's, which is 0)",
    )


def add_no_calibration(parser: argparse.ArgumentParser) -> None:
    """Add the option that leaves out what ``bcl-mm calibrate`` wrote."""
    parser.add_argument(
        '--no-calibration',
        action='store_true',
        help='ignore the calibration.json of the work dir',
    )
