"""Checkpoints that stay complete if a write is interrupted or fails."""

from __future__ import annotations

import contextlib
import os
import re
from collections import deque
from pathlib import Path
from typing import Any, Deque, Dict, Iterator, List, Optional, Union

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.fileio import LocalBackend, get_file_backend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import IterBasedTrainLoop, Runner

from bcl_mm.engine.resume import latest_checkpoint, name_training
from bcl_mm.registry import HOOKS
from bcl_mm.utils.errors import InputError
from bcl_mm.utils.files import remove_leftovers, write_atomically
from bcl_mm.utils.protocols import SavesWhole


class CheckpointError(InputError, RuntimeError):
    """A checkpoint could not be written; the message says what to do."""


@register_backend('bcl_mm.atomic_files')
class AtomicFilesBackend(LocalBackend):
    """MMEngine's local files, each written completely or not at all."""

    def put(self, obj: bytes, filepath: Union[str, Path]) -> None:
        """Write a file."""
        Path(filepath).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(obj, filepath)


class _DeferredRemoval:
    """A file backend that removes files only in :meth:`remove_pending`.

    It removes only checkpoints in its own folder: paths that a checkpoint
    names may belong to another work dir (it was copied or moved), or be
    forged.
    """

    def __init__(self, backend: Any, folder: str, filename: str) -> None:
        self.backend = backend
        self.folder = folder.rstrip('/')
        number = '1234567890'
        name = re.escape(filename.format(int(number))).replace(number, r'\d+')
        self.checkpoint = re.compile(f'(best_.*_)?{name}')
        self.pending: List[str] = []

    def remove(self, path: str) -> None:
        folder, name = os.path.split(path)
        is_ours = folder == self.folder and self.checkpoint.fullmatch(name)
        if is_ours and path not in self.pending:
            self.pending.append(path)

    rmtree = remove  # DeepSpeed writes folders

    def remove_pending(self) -> None:
        while self.pending:
            path = self.pending.pop(0)
            if self.backend.isfile(path):
                self.backend.remove(path)
            elif self.backend.isdir(path):
                self.backend.rmtree(path)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """MMEngine's CheckpointHook, safe against kills and full disks.

    It takes the same arguments. The differences:

    - A checkpoint is written under a temporary name (``*.part``), synced and
      renamed. ``last_checkpoint`` follows in the same way, and only then are
      older checkpoints removed. Remains of a killed run are removed when
      training starts.
    - A failed write, as on a full disk, ends the training on all ranks and
      leaves older checkpoints and ``last_checkpoint`` unchanged.
    - A resumed training first repeats a validation that was due after its
      checkpoint and was not completed.
    - A training that a hook ends early is saved where it ends, and its
      ``meta`` says so (``stopped_early``): it is not unfinished.

    Remote backends keep their own way of writing.

    Raises:
        CheckpointError: A checkpoint could not be written.
    """

    backend_args: Optional[Dict[str, Any]]
    file_backend: Any
    keep_ckpt_ids: Deque[int]
    # Name of the training, the same after it resumed; None starts anew.
    _training: Optional[str] = None

    def before_train(self, runner: Runner) -> None:
        """Prepare the folder; repeat a validation that was interrupted."""
        out_dir = self.out_dir or runner.work_dir
        backend = get_file_backend(out_dir, backend_args=self.backend_args)
        if self.file_client_args is None and type(backend) is LocalBackend:
            self.backend_args = dict(backend='bcl_mm.atomic_files')
        super().before_train(runner)
        self.file_backend = _DeferredRemoval(
            self.file_backend, str(self.out_dir), self.filename_tmpl
        )
        info = runner.message_hub.runtime_info
        for path in info.get('outdated_ckpts', ()):
            self.file_backend.remove(path)
        if is_main_process():
            self._training = name_training(runner.work_dir, self._training)
            suffix = Path(self.filename_tmpl).suffix
            for folder in {str(self.out_dir), runner.work_dir}:
                for name in (f'*{suffix}', 'last_checkpoint'):
                    remove_leftovers(folder, name, is_owner=True)
        # (Of older checkpoints: validated_iter.)
        done = info.get('iter_validated', info.get('validated_iter'))
        is_done = done == runner.iter
        if _validation_is_due(runner) and not is_done:
            # The checkpoint to update with the best score.
            self.last_ckpt = info.get('last_ckpt')
            runner.val_loop.run()

    def after_train(self, runner: Runner) -> None:
        """Save a training that was stopped; remove files still pending."""
        info = runner.message_hub.runtime_info
        if _is_stopped(runner) and info.get('stopped_iter') != runner.iter:
            runner.message_hub.update_info('stopped_iter', runner.iter)
            step = runner.epoch if self.by_epoch else runner.iter
            meta = dict(epoch=runner.epoch, iter=runner.iter)
            self._save_checkpoint_with_step(runner, step, meta)
        super().after_train(runner)
        if is_main_process():
            self.file_backend.remove_pending()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the name of the training, and how it ended, to the ``meta``."""
        checkpoint['meta']['training'] = self._training
        if _is_stopped(runner):
            checkpoint['meta']['stopped_early'] = True

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Drop ``meta.config``, which is code that the Runner would run."""
        meta = checkpoint.get('meta', {})
        meta.pop('config', None)
        if runner._resume:
            name = meta.get('training')
            self._training = name if isinstance(name, str) else ''

    def after_val_epoch(
        self, runner: Runner, metrics: Optional[Dict[str, float]] = None
    ) -> None:
        """Record that the validation was done; save the best checkpoint."""
        # (MMEngine logs what begins with "val".)
        runner.message_hub.update_info('iter_validated', runner.iter)
        super().after_val_epoch(runner, metrics or {})

    def _save_checkpoint_with_step(
        self, runner: Runner, step: int, meta: dict
    ) -> None:
        update_info = runner.message_hub.update_info
        if self.max_keep_ckpts > 0:
            steps = [kept for kept in self.keep_ckpt_ids if kept != step]
            steps.append(step)
            while len(steps) > self.max_keep_ckpts:
                self.file_backend.remove(self._path(steps.pop(0)))
            self.keep_ckpt_ids = deque(steps, self.max_keep_ckpts)
            update_info('keep_ckpt_ids', steps)
        self.last_ckpt = self._path(step)
        update_info('last_ckpt', self.last_ckpt)
        # Removed by a resumed training if this one is killed before.
        update_info('outdated_ckpts', list(self.file_backend.pending))
        optim_wrapper = runner.optim_wrapper if self.save_optimizer else None
        with self._ending_all_ranks(runner), _whole(runner, optim_wrapper):
            runner.save_checkpoint(
                self.out_dir,
                self.filename_tmpl.format(step),
                self.file_client_args,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta=meta,
                by_epoch=self.by_epoch,
                backend_args=self.backend_args,
                **self.args,
            )
            if is_main_process():
                note = Path(runner.work_dir) / 'last_checkpoint'
                write_atomically(str(self.last_ckpt), note)
                self.file_backend.remove_pending()
        self.file_backend.pending.clear()

    def _save_best_checkpoint(
        self, runner: Runner, metrics: Dict[str, float]
    ) -> None:
        if self.save_best:
            with self._ending_all_ranks(runner), _whole(runner, None):
                super()._save_best_checkpoint(runner, metrics)

    def _path(self, step: int) -> str:
        name = self.filename_tmpl.format(step)
        return self.file_backend.join_path(self.out_dir, name)

    @contextlib.contextmanager
    def _ending_all_ranks(self, runner: Runner) -> Iterator[None]:
        """Raise on all ranks an error of the rank that writes."""
        cause = message = None
        try:
            yield
        except CheckpointError:
            raise  # on all ranks already
        except (OSError, RuntimeError, FloatingPointError) as error:
            if not is_main_process():
                raise
            cause, message = error, self._explain(runner, error)
        shared = [message]
        broadcast_object_list(shared)
        if shared[0] is not None:
            raise CheckpointError(shared[0]) from cause

    def _explain(self, runner: Runner, error: Exception) -> str:
        try:
            latest, _ = latest_checkpoint(runner.work_dir)
        except ValueError:
            latest = None
        then = 'there is no earlier checkpoint to resume from'
        if latest:
            then = f'when that is fixed, --resume resumes from {latest}'
        cause = str(error)
        if not isinstance(error, InputError):  # that says what it is about
            cause = f'a file in {self.out_dir}: {cause}'
        return f'the checkpoint could not be saved: {cause}; {then}'


def _whole(
    runner: Runner, optim_wrapper: Any
) -> contextlib.AbstractContextManager:
    """Gather what a sharded model saves, on all ranks."""
    model = runner.model
    if isinstance(model, SavesWhole):
        return model.saving_whole(optim_wrapper)
    return contextlib.nullcontext()


def _is_stopped(runner: Runner) -> bool:
    """Whether a hook has ended the training."""
    return getattr(runner.train_loop, 'stop_training', False)


def _validation_is_due(runner: Runner) -> bool:
    """Whether a validation was due where training resumes."""
    loop = runner.train_loop
    if runner.val_loop is None or loop.iter == 0:
        return False
    if isinstance(loop, IterBasedTrainLoop):
        done, end = loop.iter, loop.max_iters
    elif loop.iter == loop.epoch * len(loop.dataloader):
        done, end = loop.epoch, loop.max_epochs
    else:
        return False  # in the middle of an epoch
    return done >= loop.val_begin and (
        done % loop.val_interval == 0 or done == end
    )
