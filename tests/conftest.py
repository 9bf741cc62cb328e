"""Fixtures that several tests share."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Callable, Iterator

import mmengine.config.config
import mmengine.registry.registry
import pytest
import torch

from tests.warm import warm_python

ROOT = Path(__file__).resolve().parent.parent
# For commands as they are documented, which say python: this one.
THIS_PYTHON = {
    'PYTHON': sys.executable,
    'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}',
}


# Rooms and files whose tests start commands, processes or browsers, or train
# with whole configs: not in tools/run_tests.sh --fast.
LONG = (
    *('cli', 'distributed', 'docs', 'report'),
    *('test_configs.py', 'test_configs_elsewhere.py', 'test_packaging.py'),
    'test_warm.py',
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.relative_to(ROOT / 'tests').parts[0] in LONG:
            item.add_marker(pytest.mark.long)


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not collect garbage for each data set.

    MMEngine does, which takes a second in a process with this many objects.
    """
    library = 'mmengine.dataset.base_dataset.gc'
    monkeypatch.setattr(library, SimpleNamespace(collect=lambda: None))


@pytest.fixture(autouse=True)
def _plain_configs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write configs without yapf, which takes seconds for a long pipeline."""
    monkeypatch.setattr(
        mmengine.config.config,
        'FormatCode',
        lambda text, **_: (text, True),
    )


@pytest.fixture(autouse=True)
def _plain_registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what reading a run's config.json does to registries."""
    for name in ('get_object_from_string', 'import_module'):
        value = getattr(mmengine.registry.registry, name)
        monkeypatch.setattr(mmengine.registry.registry, name, value)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def run_command(
    *command: object, ok: bool = True, cwd: Path = ROOT, **env: str
) -> subprocess.CompletedProcess:
    """Run a command in the project's root; returns its completed process."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **THIS_PYTHON, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert (done.returncode == 0) == ok, done.stdout[-4000:]
    return done


@pytest.fixture
def run() -> Callable:
    """:func:`run_command`, in processes as users start them."""
    return run_command


@pytest.fixture(scope='session')
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Python that starts without the seconds that its imports take."""
    if sys.platform != 'linux' or torch.accelerator.is_available():
        yield sys.executable  # a fork cannot use a GPU
        return
    with warm_python(tmp_path_factory.mktemp('warm')) as program:
        yield program


@pytest.fixture(scope='session')
def run_warm(python: str) -> Callable:
    """:func:`run_command`, with a warm Python in place of this one."""

    def run_words(
        first: str, *words: object, **options: object
    ) -> subprocess.CompletedProcess:
        assert first == sys.executable
        return run_command(python, *words, **options)

    return run_words


@pytest.fixture(scope='session')
def compared(
    run_warm: Callable, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Two methods with two seeds on digits, and their report.

    The comparison is in ``runs``, what it said in ``output``. Workers of
    pytest-xdist share it: a test may read it, and change a copy.
    """
    from tests.cli.comparisons import TWO_METHODS, command

    folder = tmp_path_factory.getbasetemp()
    if 'PYTEST_XDIST_WORKER' in os.environ:
        folder = folder.parent
    folder /= 'compared'
    folder.mkdir(exist_ok=True)
    with (folder / 'lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / 'output').exists():
            words = command(folder / 'runs', *TWO_METHODS, '--report')
            done = run_warm(*words, OMP_NUM_THREADS='1')
            (folder / 'output').write_text(done.stdout)
    return folder


@pytest.fixture
def free_port() -> str:
    """A port of this machine that nothing listens on."""
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return str(server.getsockname()[1])


class _SilentHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Path, str]]:
    """A folder, and its address; downloads are kept in ``tmp_path/home``."""
    folder = tmp_path / 'site'
    folder.mkdir()
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))
    monkeypatch.setenv('MMENGINE_HOME', str(tmp_path / 'home'))
    handler = partial(_SilentHandler, directory=folder)
    server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()
