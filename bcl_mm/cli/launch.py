"""Train or test on several GPUs or, without GPU, CPU processes.

Starts GPUS processes of a command on this machine; on several machines
(nodes), start it on each. These environment variables, with their defaults,
must be the same on all nodes, except NODE_RANK:

  NNODES        number of nodes; 1
  NODE_RANK     number of this node, from 0; 0
  MASTER_ADDR   address of node 0; 127.0.0.1
  PORT          a free port of node 0; 29500
  RDZV_TIMEOUT  seconds in which all nodes, and then all processes, must start;
                40
  DIST_TIMEOUT  seconds after which a collective operation fails; 1800 for gloo
                (CPU), and NCCL's own
"""

from __future__ import annotations

import argparse
import datetime
import logging
import os
import socket
import sys
import threading

from bcl_mm.apis.locations import find_config
from bcl_mm.cli import interruption, load_command, print_error
from bcl_mm.cli.options import whole_number
from bcl_mm.utils.errors import LaunchError

# Name -> default ('' for none) and its type.
SETTINGS = dict(
    NNODES=('1', whole_number(1)),
    NODE_RANK=('0', whole_number(0)),
    PORT=('29500', whole_number(1, 65535)),
    RDZV_TIMEOUT=('40', whole_number(1)),
    DIST_TIMEOUT=('', whole_number(1)),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the number of processes, and the command."""
    add = parser.add_argument
    add(
        'gpus',
        type=whole_number(1),
        metavar='GPUS',
        help='number of processes of this node, one per GPU',
    )
    add('command', choices=['train', 'test'])
    add(
        'words',
        nargs=argparse.REMAINDER,
        metavar='...',
        help='arguments and options of the command',
    )


def fail(message: str, status: int = 1) -> None:
    """End this node, whatever its threads still wait for."""
    sys.stdout.flush()
    print_error(LaunchError(message))
    os._exit(status)


def check_port_is_free(port: int) -> None:
    """Raise a LaunchError if another program on this machine has the port."""
    for family, host in ((socket.AF_INET, ''), (socket.AF_INET6, '::')):
        try:
            socket.create_server((host, port), family=family).close()
        except OSError as error:
            if family == socket.AF_INET:
                raise LaunchError(
                    f'port {port} of this machine cannot be used '
                    f'({error.strerror}): '
                    'another training may have it; set PORT to a free one, '
                    'the same on all nodes'
                ) from error


def await_first_node(host: str, port: int, timeout_s: int) -> None:
    """End this node if node 0 does not answer in time.

    In a thread: torch's own time limit does not hold where another program
    listens, and says nothing.
    """
    import torch.distributed as dist

    timeout = datetime.timedelta(seconds=timeout_s)

    def connect() -> None:
        try:
            dist.TCPStore(host, port, timeout=timeout, wait_for_workers=False)
        except dist.DistError:
            return
        has_answered.set()

    has_answered = threading.Event()
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(timeout_s)
    if not has_answered.is_set():
        fail(
            f'node 0 did not answer at {host}:{port} within {timeout_s} s: '
            'check MASTER_ADDR and PORT, and that node 0 is started with the '
            'same NNODES; RDZV_TIMEOUT=SECONDS waits longer'
        )


def complete_environment(args: argparse.Namespace) -> None:
    """Check the settings of the environment, and set their defaults."""
    env = os.environ
    for name, (default, parse) in SETTINGS.items():
        value = env.get(name) or default
        if value:
            try:
                env[name] = str(parse(value))
            except argparse.ArgumentTypeError as error:
                args.error(f'{name} {error}')
    env['MASTER_ADDR'] = env.get('MASTER_ADDR') or '127.0.0.1'
    node, nodes = env['NODE_RANK'], env['NNODES']
    if int(node) >= int(nodes):
        args.error(f'NODE_RANK must be < NNODES, got {node} of {nodes}')
    # The processes share the cores; torchrun would give each one core.
    threads = max(1, len(os.sched_getaffinity(0)) // args.gpus)
    env['OMP_NUM_THREADS'] = env.get('OMP_NUM_THREADS') or str(threads)
    env.setdefault('MKL_NUM_THREADS', env['OMP_NUM_THREADS'])
    # No C++ stacks while a node has not started.
    env.setdefault('TORCH_CPP_LOG_LEVEL', 'ERROR')


def run(args: argparse.Namespace) -> None:
    """Start the processes of this node, and wait for them."""
    interruption.watch()  # until torchrun does
    # Errors of the command line are reported once, before anything starts.
    prog = f'bcl-mm launch GPUS {args.command}'
    _, parser = load_command(args.command, prog)
    find_config(parser.parse_args(args.words).config)
    complete_environment(args)
    names = 'NNODES', 'NODE_RANK', 'PORT', 'RDZV_TIMEOUT'
    nodes, node, port, timeout_s = (int(os.environ[name]) for name in names)
    host = os.environ['MASTER_ADDR']
    if node == 0:
        check_port_is_free(port)
    else:
        await_first_node(host, port, timeout_s)

    import torch.distributed as dist
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import (
        ChildFailedError,
    )

    # Its log repeats at length what one sentence here says.
    logging.getLogger('torch.distributed.elastic').setLevel(logging.CRITICAL)
    torchrun_args = torchrun.parse_args(
        [
            f'--nnodes={nodes}',
            f'--node_rank={node}',
            f'--master_addr={host}',
            f'--master_port={port}',
            f'--nproc_per_node={args.gpus}',
            f'--rdzv_conf=timeout={timeout_s}',
            *('--module', 'bcl_mm'),
        ]
    )
    # Not parsed by torchrun: it takes --log for one of its own --log-....
    launcher = '--launcher', 'pytorch'
    torchrun_args.training_script_args = [args.command, *args.words, *launcher]
    try:
        torchrun.run(torchrun_args)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        status, how = failure.exitcode, f'ended with status {failure.exitcode}'
        if status < 0:  # the number of a signal
            status, how = (
                128 - status,
                f'was killed by {failure.signal_name()}',
            )
        fail(
            f'process {rank} (number {failure.local_rank} of node {node}) '
            f'{how}; the others of the node were stopped',
            status,
        )
    except SignalException as error:
        number = error.sigval
        fail(f'node {node} was stopped by {number.name}', 128 + number)
    except dist.DistError as error:
        fail(
            f'node {node} of {nodes} did not meet the others within '
            f'{timeout_s} s: start all {nodes} nodes, each with another '
            'NODE_RANK and the same NNODES, MASTER_ADDR and PORT; '
            f'RDZV_TIMEOUT=SECONDS waits longer ({error})'
        )
