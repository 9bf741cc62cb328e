"""First checks and timings of a GPU: each line with a verdict.

On a CPU they run, too: a rehearsal, whose figures say nothing of a GPU.
"""

from __future__ import annotations

import os
import socket
import warnings
from contextlib import contextmanager
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Tuple

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from torch import Tensor

from bcl_mm.models.losses import (
    balanced_contrastive_loss,
    chunked,
    logit_adjusted_cross_entropy,
)
from bcl_mm.models.proco import vmf_logits
from bcl_mm.utils.distributed import gather
from benchmarks.common import Candidates, Curve, Row, Settings, rows_of
from benchmarks.loss import BARE, case
from benchmarks.step import ResNetStep

# Limits of errors relative to the largest value, and of ratios.
MAX_ERROR = 1e-5
MAX_OF_BARE, MAX_OF_COPY = 2.0, 1.3
# (C, D, batch size) of the timed losses, and their chunks of rows.
SIZES = [(1000, 1024, 1024), (8142, 1024, 1024), (100_000, 1024, 1024)]
QUICK_SIZES = [(4, 8, 8)]
CHUNKS = {'chunks of 512': 512, 'chunks of 2048': 2048, 'one chunk': 1 << 30}


def checked(name: str, value: float, unit: str, limit: float) -> Row:
    """Row of a value that makes the run fail if it exceeds its limit."""
    verdict = 'ok' if value <= limit else f'FAILED: must be <= {limit:g}'
    return dict(
        name=name, unit=unit, median=value, max_median=None, verdict=verdict
    )


def unmeasured(name: str, reason: str) -> Row:
    """Row of what could not be measured here."""
    return dict(
        name=name, unit='', median=None, max_median=None, verdict=reason
    )


@contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """Products of float32 in this precision: 'highest', or 'high' (TF32)."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def losses(quick: bool) -> Dict[str, Tuple[Callable[..., Tensor], List]]:
    """Losses of the package, each with its inputs in float64 on the CPU."""
    classes, dim, batch = (8, 16, 16) if quick else (1000, 1024, 512)
    torch.manual_seed(0)
    rows = F.normalize(torch.randn(batch, dim, dtype=torch.float64), dim=1)
    means = F.normalize(torch.randn(classes, dim, dtype=torch.float64), dim=1)
    logits = 5 * torch.randn(batch, classes, dtype=torch.float64)
    labels = torch.randint(classes, (batch,))
    counts = torch.arange(1, classes + 1, dtype=torch.float64)
    log_prior = (counts / counts.sum()).log()

    def contrastive(reduction: str, rows: Tensor, means: Tensor) -> Tensor:
        inputs = rows, labels.to(rows.device), means
        return balanced_contrastive_loss(*inputs, 0.07, reduction=reduction)

    def adjusted(logits: Tensor) -> Tensor:
        return logit_adjusted_cross_entropy(
            logits, labels.to(logits.device), log_prior.to(logits)
        )

    def proco(rows: Tensor) -> Tensor:
        scores = vmf_logits(rows, 0.9 * means.to(rows), 0.07)
        return F.cross_entropy(scores, labels.to(rows.device))

    return {
        'balanced contrastive loss': (
            partial(contrastive, 'mean_log'),
            [rows, means],
        ),
        'its log-mean-exp': (
            partial(contrastive, 'log_mean_exp'),
            [rows, means],
        ),
        'logit adjustment': (adjusted, [logits]),
        'ProCo': (proco, [rows]),
    }


def value_and_gradients(
    loss: Callable[..., Tensor], inputs: List[Tensor], **to: Any
) -> List[Tensor]:
    """The loss of inputs and its gradients, as computed with ``to``."""
    leaves = [x.to(**to).detach().requires_grad_() for x in inputs]
    value = loss(*leaves)
    return [value.detach(), *torch.autograd.grad(value, leaves)]


def errors(settings: Settings) -> List[Row]:
    """Errors against float64, with TF32 off and on."""
    rows = []
    for name, (loss, inputs) in losses(settings.quick).items():
        exact = value_and_gradients(loss, inputs)
        for precision, title in (('highest', 'off'), ('high', 'on')):
            with matmul_precision(precision):
                ours = value_and_gradients(
                    loss, inputs, device=settings.device, dtype=torch.float32
                )
            error = max(
                ((a.cpu().double() - b).abs().max() / b.abs().max()).item()
                for a, b in zip(ours, exact)
            )
            title = f'error of {name}, TF32 {title}'
            rows.append(checked(title, error, 'of the largest', MAX_ERROR))
    return rows


def repeatability(settings: Settings) -> List[Row]:
    """Bits that differ between two runs, without and with the flag."""
    rows = []
    for flag in (False, True):
        for name, (loss, inputs) in losses(settings.quick).items():
            torch.use_deterministic_algorithms(flag)
            try:
                first, second = (
                    value_and_gradients(
                        loss,
                        inputs,
                        device=settings.device,
                        dtype=torch.float32,
                    )
                    for _ in range(2)
                )
            finally:
                torch.use_deterministic_algorithms(False)
            different = sum(
                (a != b).sum().item() for a, b in zip(first, second)
            )
            title = f'{name}: numbers that differ between two runs'
            if flag:
                title += ', deterministic'
                rows.append(checked(title, different, '', 0))
                continue
            row = checked(title, different, '', 0)
            if different:  # allowed: sums on a GPU have no fixed order
                row['verdict'] = 'not repeatable without the flag'
            rows.append(row)
    return rows


def waits(settings: Settings) -> List[Row]:
    """Times that a step waits for the device."""
    name = 'waits for the device in a step of BCL'
    if settings.device.type != 'cuda':
        return [unmeasured(name, 'not measured: needs CUDA')]
    step = ResNetStep(settings)
    step.ours()  # what is cached after the first
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        torch.cuda.set_sync_debug_mode('warn')
        try:
            step.ours()
        finally:
            torch.cuda.set_sync_debug_mode('default')
    found = [w for w in caught if 'synchroniz' in str(w.message)]
    return [checked(name, len(found), '', 0)]


def chunk_sizes(settings: Settings) -> List[Row]:
    """The loss in chunks of several sizes, eager and compiled."""
    rows, default = [], chunked._CHUNK
    for size in QUICK_SIZES if settings.quick else SIZES:
        candidates: Candidates = {}
        for title, chunk in CHUNKS.items():
            loss = case(*size, settings.device)['loss']
            compiled = torch.compile(
                loss, backend='aot_eager' if settings.quick else 'inductor'
            )
            for suffix, call in (('', loss), (', compiled', compiled)):
                candidates[title + suffix] = partial(in_chunks, chunk, call)
        candidates[BARE] = case(*size, settings.device)[BARE]
        torch.compiler.reset()
        try:
            times = settings.time(candidates)
        finally:
            chunked._CHUNK = default
        classes, dim, batch = size
        for title in list(candidates)[:-1]:
            name = f'loss, C={classes} D={dim} B={batch}, {title}'
            rows += rows_of(name, times, title, {BARE: MAX_OF_BARE})
    return rows


def in_chunks(rows: int, call: Callable[[], None]) -> None:
    """Call with the losses' rows in chunks of this size."""
    chunked._CHUNK = rows
    call()


def shares(settings: Settings) -> List[Row]:
    """Our share of a step in bfloat16, in both memory formats."""
    rows = []
    # Few CPUs are fast in bfloat16.
    dtype = torch.float32 if settings.quick else torch.bfloat16
    names = ['ResNeXt-50'] if settings.quick else ['ResNet-50', 'ResNeXt-50']
    for name in names:
        config = f'bcl_{name.lower().replace("-", "")}_imagenet_lt'
        for layout in ('NCHW', 'NHWC'):
            step = ResNetStep(settings, config, dtype, layout == 'NHWC')
            rows += step.share(f'{name} ({layout})')
    return rows


def copies(settings: Settings) -> List[Row]:
    """Copy, join and normalisation of pinned views."""
    batch, side = (4, 32) if settings.quick else (256, 224)
    device, is_cuda = settings.device, settings.device.type == 'cuda'
    views = torch.randint(256, (3, batch, 3, side, side), dtype=torch.uint8)
    views = [v.pin_memory() if is_cuda else v for v in views]
    mean, std = [120.0, 115.0, 100.0], [60.0, 58.0, 57.0]
    preprocessor = MODELS.build(
        dict(type='bcl_mm.MultiViewDataPreprocessor', mean=mean, std=std)
    ).to(device)
    mean, std = preprocessor.mean, preprocessor.std

    def bare() -> None:
        moved = [v.to(device, non_blocking=True) for v in views]
        (torch.cat(moved).float() - mean) / std

    def ours() -> None:
        preprocessor(dict(inputs=views), True)

    times = settings.time({'ours': ours, 'bare copy': bare})
    name = f'preprocessor of {batch} x 3 pinned views of {side}x{side}'
    rows = rows_of(name, times, 'ours', {'bare copy': MAX_OF_COPY})
    name = 'part of it for which the host waits'
    if not is_cuda:
        return [*rows, unmeasured(name, 'not measured: needs CUDA')]
    host = []
    for _ in range(settings.repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        host += Settings(1, torch.device('cpu')).time({'host': ours})['host']
        end.record()
        torch.cuda.synchronize()
    part = float(np.median(host) / np.median(times['ours']))
    return [*rows, checked(name, part, '', 0.5)]


def gathers(settings: Settings) -> List[Row]:
    """The gather of two processes: NCCL, or gloo on a CPU."""
    is_cuda = settings.device.type == 'cuda'
    if is_cuda and torch.cuda.device_count() < 2:
        name = 'gather of two processes'
        return [unmeasured(name, 'not measured: needs two GPUs')]
    with socket.create_server(('127.0.0.1', 0)) as server:
        port = server.getsockname()[1]
    results = mp.get_context('spawn').SimpleQueue()
    rows = 16 if settings.quick else 512
    arguments = is_cuda, port, rows, settings.repeats, results
    mp.spawn(gather_on_a_rank, arguments, nprocs=2)
    error, times = results.get()
    backend = 'NCCL' if is_cuda else 'gloo'
    name = f'gather of 2 x {rows} x 1024 by {backend}'
    return [
        checked(f'{name}: error', error, '', 1e-6),
        *rows_of(name, times, 'ours', {'collectives': 1.5}),
    ]


def gather_on_a_rank(
    rank: int, is_cuda: bool, port: int, rows: int, repeats: int, results: Any
) -> None:
    """Check and time gather and its backward; rank 0 reports."""
    device = torch.device('cuda', rank) if is_cuda else torch.device('cpu')
    os.environ['LOCAL_RANK'] = str(rank)
    if is_cuda:
        torch.cuda.set_device(device)
    dist.init_process_group(
        'nccl' if is_cuda else 'gloo',
        init_method=f'tcp://127.0.0.1:{port}',
        **dict(rank=rank, world_size=2),
    )
    torch.manual_seed(0)
    everything = torch.randn(2 * rows, 1024, device=device)
    weights = torch.randn(2, 2 * rows, 1024, device=device)
    own = everything[rank * rows : (rank + 1) * rows].clone().requires_grad_()
    gathered = gather(own)
    gathered.backward(weights[rank])
    expected = weights.sum(0)[rank * rows : (rank + 1) * rows]
    error = (own.grad - expected).abs().max() / expected.abs().max()
    error = max(error.item(), (gathered - everything).abs().max().item())

    def ours() -> None:
        gather(own).backward(weights[rank])

    def collectives() -> None:
        parts = [torch.empty_like(own) for _ in range(2)]
        dist.all_gather(parts, own.detach())
        dist.all_reduce(weights[rank].clone())

    settings = Settings(repeats, device)
    times = settings.time({'ours': ours, 'collectives': collectives})
    if rank == 0:
        results.put((error, times))
    dist.barrier()
    dist.destroy_process_group()


CHECKS = (errors, repeatability, waits, copies, gathers, shares, chunk_sizes)


def run(settings: Settings) -> Tuple[List[Row], List[Curve]]:
    """All checks; one that fails leaves the others."""
    # For deterministic products, before the first of them.
    os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    rows = []
    for check in CHECKS:
        try:
            rows += check(settings)
        except Exception as error:
            lines = str(error).splitlines() or ['']
            reason = f'FAILED: {type(error).__name__}: {lines[0]}'
            rows.append(unmeasured(check.__doc__.split('\n')[0], reason))
    return rows, []
