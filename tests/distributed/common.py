"""What the tests on several processes share."""

import contextlib
import os
import pickle
import socket

import torch.distributed as dist
import torch.multiprocessing as mp

# Imports take most of the time: one process does them, and is forked.
mp.set_forkserver_preload(['bcl_mm', 'mmpretrain.models', 'mmengine.runner'])


@contextlib.contextmanager
def group(rank, world_size, port):
    """A gloo process group, known to mmengine too."""
    os.environ.update(LOCAL_RANK=str(rank), MASTER_ADDR='127.0.0.1')
    dist.init_process_group(
        'gloo',
        init_method=f'tcp://127.0.0.1:{port}',
        rank=rank,
        world_size=world_size,
    )
    yield
    dist.barrier()
    dist.destroy_process_group()


def _join(process, function, ports, folder):
    for world_size, port in ports.items():
        if process < world_size:
            with group(process, world_size, port):
                result = function(process, world_size, folder)
            path = folder / f'{world_size}_{process}.pkl'
            path.write_bytes(pickle.dumps(result))


def on_ranks(function, world_sizes, folder):
    """What ``function(rank, world_size, folder)`` gives: {world_size: [...]}.

    The same processes serve every number of them: starting is what takes
    the time.
    """
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(socket.create_server(('127.0.0.1', 0)))
            for _ in world_sizes
        ]
        ports = dict(zip(world_sizes, (s.getsockname()[1] for s in servers)))
    mp.start_processes(
        _join,
        (function, ports, folder),
        nprocs=max(world_sizes),
        start_method='forkserver',
    )
    return {
        world_size: [
            pickle.loads((folder / f'{world_size}_{r}.pkl').read_bytes())
            for r in range(world_size)
        ]
        for world_size in world_sizes
    }
