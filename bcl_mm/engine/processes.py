"""How the processes of a training start and end."""

from __future__ import annotations

import datetime
import gc
import os

import torch.distributed as dist

from bcl_mm.utils.errors import LaunchError, check_number


def await_ranks(timeout_s: float) -> None:
    """Wait until all of torchrun's processes have started.

    Joining a process group waits for as long as a collective may take, even
    for a process that has died. Each of W processes asks the store a fixed
    number of times; only one that finds some missing asks for each.

    Args:
        timeout_s: Seconds to wait.

    Raises:
        LaunchError: Some have not started, or their nodes have another
            NNODES; the message says which.
    """
    check_number('timeout_s', timeout_s, above=0)
    timeout = datetime.timedelta(seconds=timeout_s)
    this, world_size = int(os.environ['RANK']), int(os.environ['WORLD_SIZE'])
    address = os.environ['MASTER_ADDR'], int(os.environ['MASTER_PORT'])
    store = dist.PrefixStore(
        'bcl_mm_started',
        dist.TCPStore(*address, timeout=timeout, wait_for_workers=False),
    )
    nodes = os.environ.get('NNODES', '')
    start = f'process {this} was started with NNODES={nodes}'
    first = store.compare_set('first', '', start).decode()
    if first.partition('=')[2] != nodes:
        store.set('other', f'process {this} with NNODES={nodes}')
    store.set(str(this), '')
    if store.add('number', 1) == world_size:
        store.set('all', '')
    try:
        store.wait(['all'], timeout)
    except dist.DistError as error:
        if store.add('failed', 1) == 1:
            names = map(str, range(world_size))
            missing = [name for name in names if not store.check([name])]
            store.set('missing', ', '.join(missing))
        raise LaunchError(
            f'of {world_size} processes {store.get("missing").decode()} did '
            f'not start within {timeout_s} s: see the output of their nodes; '
            'RDZV_TIMEOUT=SECONDS waits longer'
        ) from error
    if store.check(['other']):
        raise LaunchError(
            f'{first}, {store.get("other").decode()}: it must be the same on '
            'all nodes'
        )


def init_cpu_process_group(timeout_s: float = 1800) -> None:
    """Join torchrun's processes over gloo, for machines without accelerator.

    MMEngine's own launcher calls ``torch.cuda.set_device`` with every
    backend; a Runner keeps a process group that exists.

    Args:
        timeout_s: Seconds after which a collective operation fails.
            Defaults to 1800.
    """
    check_number('timeout_s', timeout_s, above=0)
    if not dist.is_initialized():
        timeout = datetime.timedelta(seconds=timeout_s)
        dist.init_process_group('gloo', timeout=timeout)


def starts_first(launcher: str) -> bool:
    """Whether this is the first process of a training, before they meet.

    Args:
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
    """
    names = dict(
        pytorch='RANK', slurm='SLURM_PROCID', mpi='OMPI_COMM_WORLD_RANK'
    )
    return os.environ.get(names.get(launcher, ''), '0') == '0'


def leave_process_group() -> None:
    """Leave the process group, when all ranks are at their end.

    A rank that exits while another still communicates with it may make that
    one fail. Delete the runner first: its model keeps the group alive, and
    gloo's threads, of which one that still works while the interpreter exits
    aborts the process.
    """
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
        gc.collect()  # runners are in cycles
        dist.destroy_process_group()
