"""Runs of a comparison: recognised, trained or resumed, and measured."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Iterator, List, Optional, Sequence

import bcl_mm
from bcl_mm.utils.errors import InputError, InputValueError
from bcl_mm.utils.files import write_atomically

if TYPE_CHECKING:
    from mmengine.config import Config

# A command of bcl_mm, in a process of its own.
COMMAND = (sys.executable, '-m', 'bcl_mm')


def read_commit() -> str:
    """Commit of this checkout, with ``+`` for changes; else the version."""
    root = Path(bcl_mm.__file__).resolve().parents[1]

    def git(*command: str) -> str:
        return subprocess.run(
            ['git', '-C', str(root), *command],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    # An installed package may be in a checkout of something else.
    if (root / '.git').exists():
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            changes = git('status', '--porcelain', '--untracked-files=no')
            commit = git('rev-parse', '--short', 'HEAD')
            return f'{commit}+' if changes else commit
    return bcl_mm.__version__


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return server.getsockname()[1]


class RunError(InputError):
    """A run has failed; the message says why."""


@dataclass
class Run:
    """One config with one seed, in a folder of its own.

    The folder's name holds a fingerprint of the merged config and the
    options: another setting is another run, and nothing is overwritten.

    Args:
        config: Path of the config.
        cfg: The config.
        seed: Seed of the run.
        options: ``KEY=VALUE`` settings, as for ``bcl-mm train``.
        work_dir: Folder of all runs.
        first: The first stage that this run starts from, if it has one.

    Raises:
        InputValueError: A second stage does not name its first one.
    """

    config: str
    cfg: Config
    seed: int
    options: Sequence[str]
    work_dir: Path
    first: Optional[Run] = None

    def __post_init__(self) -> None:
        self.is_trained = self.cfg.get('is_trained', True)
        if not (self.is_trained or self.first):
            raise InputValueError(
                f'{self.config} is not trained (is_trained = False): it must '
                "name the config that is, first_stage = 'NAME.py'"
            )
        model = self.cfg.get('model', {})
        if (
            str(model.get('type')).endswith('FrozenBackboneClassifier')
            and not (self.first or model.get('pretrained'))
            and not any(
                o.startswith('model.pretrained=') for o in self.options
            )
        ):
            raise InputValueError(
                f'{self.config} trains on a frozen backbone: it must name the '
                "config that trains it, first_stage = 'NAME.py'"
            )
        content = [self.cfg.to_dict(), sorted(self.options)]
        if self.first:
            content.append(self.first.folder.name)
        text = json.dumps(content, sort_keys=True, default=str)
        fingerprint = hashlib.sha256(text.encode()).hexdigest()[:8]
        self.name = f'{Path(self.config).stem}, seed {self.seed}'
        self.folder = (
            self.work_dir
            / Path(self.config).stem
            / f'seed_{self.seed}_{fingerprint}'
        )
        self.log = self.folder / 'output.log'

    @property
    def note(self) -> dict:
        """Content of run.json: commits and, at the end, figures."""
        path = self.folder / 'run.json'
        return json.loads(path.read_text()) if path.is_file() else {}

    def write_note(self, **entries: object) -> None:
        """Add entries to run.json."""
        text = json.dumps({**self.note, **entries}, indent=1)
        write_atomically(text, self.folder / 'run.json')

    @property
    def is_finished(self) -> bool:
        """Whether the run has its figures."""
        return 'figures' in self.note

    @property
    def checkpoint(self) -> Optional[str]:
        """The latest checkpoint, None if there is none."""
        from bcl_mm.engine.resume import latest_checkpoint

        try:
            return latest_checkpoint(str(self.folder))[0]
        except InputError as error:
            raise RunError(f'{self.name} failed: {error}') from error

    @contextlib.contextmanager
    def lock(self) -> Iterator[int]:
        """Wait until no other process works on this run.

        Yields the descriptor of the lock, for the training process to
        inherit: if only the comparison is killed, the next one waits for the
        training.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / 'lock').open('w') as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(
                    f'{self.name}: another process is at {self.folder}, '
                    'waiting for it ...',
                    flush=True,
                )
                fcntl.flock(file, fcntl.LOCK_EX)
            yield file.fileno()

    def command(self, gpus: int, log: Sequence[str] = ()) -> List[str]:
        """Command that trains the run, or resumes it."""
        options = [f'randomness.seed={self.seed}', *self.options]
        if self.first:
            options.append(f'model.pretrained={self.first.checkpoint}')
        launch = ('launch', str(gpus)) if gpus > 1 else ()
        command = [*COMMAND, *launch, 'train', self.config]
        if self.checkpoint:
            command.append('--resume')
        command += ['--work-dir', str(self.folder)]
        if log:
            command += ['--log', *log]
        return [*command, '--cfg-options', *options]

    def test_command(self) -> List[str]:
        """Command that tests the last checkpoint."""
        checkpoint = (self if self.is_trained else self.first).checkpoint
        command = [*COMMAND, 'test', self.config, str(checkpoint)]
        command += ['--work-dir', str(self.folder / 'test')]
        command += ['--out', str(self.folder / 'metrics.json')]
        command += ['--out-item', 'metrics']
        if self.options:
            command += ['--cfg-options', *self.options]
        return command

    def scalars(self) -> List[dict]:
        """All logged figures, of all starts of the run, oldest first."""
        logs = sorted(self.folder.glob('*/vis_data/scalars.json'))
        lines = [line for log in logs for line in log.read_text().splitlines()]
        return [json.loads(line) for line in lines]

    def figures(self) -> Dict[str, float]:
        """Accuracies of the last epoch, from the log or from a test."""
        if self.needs_test():
            return json.loads((self.folder / 'metrics.json').read_text())
        found = [line for line in self.scalars() if 'accuracy/top1' in line]
        if not found:
            raise RunError(f'{self.name} failed: it has no validation')
        return {k: v for k, v in found[-1].items() if '/' in k}

    def seconds_per_epoch(self) -> Optional[float]:
        """Median over the log of an iteration's time, times their number."""
        lines = [line for line in self.scalars() if 'epoch' in line]
        lines = [line for line in lines if 'time' in line and 'loss' in line]
        if not self.is_trained or not lines:
            return None
        length = lines[-1]['iter'] / lines[-1]['epoch']
        return length * statistics.median(line['time'] for line in lines)

    def needs_test(self) -> bool:
        """Whether the test data are not those of the validation."""
        tested, validated = (
            (self.cfg.get(f'{name}_dataloader') or {}).get('dataset')
            for name in ('test', 'val')
        )
        return not self.is_trained or tested != validated


class Launcher:
    """Starts the processes of runs and shows their progress.

    Args:
        gpus: Processes of a run.
        jobs: Runs side by side.
        log: Backends that trainings log to, as for ``bcl-mm train``. They do
            not make another run. Defaults to none.

    Raises:
        InputValueError: The machine has too few GPUs.
    """

    def __init__(self, gpus: int, jobs: int, log: Sequence[str] = ()) -> None:
        import torch

        self.gpus = gpus
        self.jobs = jobs
        self.log = log
        self.commit = read_commit()
        self.slots = list(range(jobs))
        self.processes: List[subprocess.Popen] = []
        self.has_gpus = torch.cuda.is_available()
        if self.has_gpus and gpus * jobs > torch.cuda.device_count():
            raise InputValueError(
                f'--jobs {jobs} of --gpus {gpus} need {gpus * jobs} GPUs, '
                f'this machine shows {torch.cuda.device_count()}'
            )

    def finish(self, run: Run) -> None:
        """Train a run, or what is left of it, and write its figures.

        Raises:
            RunError: It has failed.
        """
        with run.lock() as lock:
            if run.is_finished:
                print(f'{run.name}: finished before', flush=True)
                return
            commits = run.note.get('commits', [])
            if self.commit not in commits:
                commits.append(self.commit)
            run.write_note(
                config=run.config,
                seed=run.seed,
                options=list(run.options),
                commits=commits,
            )
            if run.is_trained:
                how = 'resuming' if run.checkpoint else 'starting'
                print(f'{run.name}: {how} ...', flush=True)
                self._call(run, run.command(self.gpus, self.log), lock)
            if run.needs_test():
                print(f'{run.name}: testing ...', flush=True)
                self._call(run, run.test_command(), lock)
            figures = run.figures()
            if not run.is_trained:
                # A report finds the model there; folders may be moved.
                tested = os.path.relpath(run.first.checkpoint, run.folder)
                run.write_note(checkpoint=tested)
            run.write_note(
                figures=figures, seconds_per_epoch=run.seconds_per_epoch()
            )
        print(f'{run.name}: top-1 {figures["accuracy/top1"]:.1f}', flush=True)

    def stop(self) -> None:
        """Terminate the processes that still run."""
        for process in self.processes:
            if process.poll() is None:
                process.terminate()

    def _environment(self, slot: int) -> Dict[str, str]:
        environment = dict(os.environ, PORT=str(_free_port()))
        if self.has_gpus:
            # The slot's share of the GPUs that this program may use.
            given = environment.get('CUDA_VISIBLE_DEVICES', '')
            number = self.jobs * self.gpus
            devices = given.split(',') if given else map(str, range(number))
            first = slot * self.gpus
            share = list(devices)[first : first + self.gpus]
            environment['CUDA_VISIBLE_DEVICES'] = ','.join(share)
        elif self.jobs > 1:
            cores = len(os.sched_getaffinity(0))
            threads = max(1, cores // (self.jobs * self.gpus))
            environment.setdefault('OMP_NUM_THREADS', str(threads))
        return environment

    def _call(self, run: Run, command: List[str], lock: int) -> None:
        slot = self.slots.pop()
        try:
            with run.log.open('ab') as log:
                start = log.tell()
                # Not a pipe: training must not end with the comparison.
                process = subprocess.Popen(
                    command,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._environment(slot),
                    pass_fds=[lock],
                )
            self.processes.append(process)
            self._watch(run, process, start)
        finally:
            self.slots.append(slot)
        if process.returncode:
            lines = run.log.read_bytes()[start:].decode(errors='replace')
            last = lines.strip().splitlines()[-1:] or ['it printed nothing']
            raise RunError(
                f'{run.name} failed: {last[0]}\nIts output is in {run.log}'
            )

    def _watch(self, run: Run, process: subprocess.Popen, start: int) -> None:
        """Show a line every few seconds, until the process has ended."""
        shown = time.time()
        with run.log.open('rb') as log:
            log.seek(start)
            latest = None
            while process.poll() is None:
                time.sleep(0.2)
                text = log.read().decode(errors='replace')
                for latest in re.finditer(  # noqa: B007
                    r'Epoch\(train\)\s*\[(\d+)\].*?eta: (\S+)', text
                ):
                    pass
                if latest and time.time() - shown > 5:
                    shown = time.time()
                    print(
                        f'{run.name}: epoch {latest[1]}, {latest[2]} left',
                        flush=True,
                    )
                    latest = None
