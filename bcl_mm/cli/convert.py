"""Turn a checkpoint of the reference implementation into one of bcl_mm.

The reference is github.com/FlamieZhu/Balanced-Contrastive-Learning. The result
is for tools/test.py, or for load_from in a config.
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument('checkpoint', metavar='IN', help='their checkpoint')
    parser.add_argument('out', metavar='OUT', help='file for ours')
    what = 'check that this config fits, key by key, before writing OUT'
    parser.add_argument('--config', help=what)


def run(args: argparse.Namespace) -> None:
    """Convert, and show what was done."""
    from bcl_mm.apis.conversion import PROJECTORS, convert_checkpoint

    found = convert_checkpoint(args.checkpoint, args.out, args.config)
    converted = len(found.weights)
    print(f'{args.out}: {converted} of {found.num_keys} keys converted')
    print(f'Keys that were not used: {len(found.unused)}')
    for key in found.unused:
        print(f'  {key}')
    print(f'Entries that were dropped: {", ".join(found.dropped) or "none"}')
    for theirs, prefix in PROJECTORS.items():
        if f'{prefix}0.weight' not in found.weights:
            print(f'Note: no {theirs}, so no {prefix}*; only training uses it')
    print('The config needs, in model.head:')
    for name, value in found.settings.items():
        print(f'  {name}={value!r}')
    if args.config is not None:
        print(f'It fits the model of {args.config}')
