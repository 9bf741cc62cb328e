"""One node of a training: torchrun, with an end and a reason to a failure.

launch.sh, which calls it, says what is read from the environment.
"""

from __future__ import annotations

import datetime
import logging
import os
import socket
import sys
import threading
from typing import List

import torch.distributed as dist
from torch.distributed import run
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError


def fail(message: str, status: int = 1) -> None:
    """End this node, whatever its threads still wait for."""
    sys.stdout.flush()
    print(message, file=sys.stderr, flush=True)
    os._exit(status)


def check_port_is_free(port: int) -> None:
    """Fail if another program on this machine has the port."""
    for family, host in ((socket.AF_INET, ''), (socket.AF_INET6, '::')):
        try:
            socket.create_server((host, port), family=family).close()
        except OSError as error:
            if family == socket.AF_INET:
                fail(
                    f'port {port} of this machine cannot be used '
                    f'({os.strerror(error.errno)}): another training may '
                    'have it; set PORT to a free one, the same on all nodes'
                )


def await_first_node(host: str, port: int, timeout_s: int) -> None:
    """Fail if node 0 does not answer in time.

    In a thread: torch's own time limit does not hold where another program
    listens, and says nothing.
    """
    timeout = datetime.timedelta(seconds=timeout_s)

    def connect() -> None:
        try:
            dist.TCPStore(host, port, timeout=timeout, wait_for_workers=False)
        except dist.DistError:
            return
        is_there.set()

    is_there = threading.Event()
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(timeout_s)
    if not is_there.is_set():
        fail(
            f'node 0 did not answer at {host}:{port} within {timeout_s} s: '
            'check MASTER_ADDR and PORT, and that node 0 is started with the '
            'same NNODES; RDZV_TIMEOUT=SECONDS waits longer'
        )


def main(gpus: str, tool: str, *words: str) -> None:
    """Start the processes of this node, and wait for them."""
    nodes, node = int(os.environ['NNODES']), int(os.environ['NODE_RANK'])
    host, port = os.environ['MASTER_ADDR'], int(os.environ['PORT'])
    timeout_s = int(os.environ['RDZV_TIMEOUT'])
    # Its lines say again, at length, what follows in a sentence.
    logging.getLogger('torch.distributed.elastic').setLevel(logging.CRITICAL)
    if node == 0:
        check_port_is_free(port)
    else:
        await_first_node(host, port, timeout_s)
    options: List[str] = [
        f'--nnodes={nodes}',
        f'--node_rank={node}',
        f'--master_addr={host}',
        f'--master_port={port}',
        f'--nproc_per_node={gpus}',
        f'--rdzv_conf=timeout={timeout_s}',
    ]
    args = run.parse_args([*options, tool])
    # Not parsed by torchrun: it takes --log for one of its own --log-....
    args.training_script_args = [*words, '--launcher', 'pytorch']
    try:
        run.run(args)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        # A signal's number is negative.
        status = failure.exitcode
        how = (
            f'ended with status {status}'
            if status > 0
            else f'was killed by {failure.signal_name()}'
        )
        fail(
            f'process {rank} (number {failure.local_rank} of node {node}) '
            f'{how}; the others of the node were stopped',
            status if status > 0 else 128 - status,
        )
    except SignalException as error:
        fail(
            f'node {node} was stopped by {error.sigval.name}',
            128 + error.sigval,
        )
    except dist.DistError as error:
        fail(
            f'node {node} of {nodes} did not meet the others within '
            f'{timeout_s} s: start all {nodes} nodes, each with another '
            'NODE_RANK and the same NNODES, MASTER_ADDR and PORT; '
            f'RDZV_TIMEOUT=SECONDS waits longer ({error})'
        )


if __name__ == '__main__':
    main(*sys.argv[1:])
