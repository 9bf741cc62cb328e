"""A Python that has imported what the commands import, and forks.

:func:`warm_python` writes a program that takes the words that ``python``
takes. A server has imported the libraries, and has run nothing; for each call
it forks, and the fork gets the caller's words, folder, environment and open
files. What a fork cannot know is left to the real Python: ``-c`` and other
options, and variables that are read when Python or a library starts.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping

PRELOADED = (
    *('bcl_mm.apis.config', 'bcl_mm.apis.launcher', 'bcl_mm.models'),
    *('bcl_mm.datasets.transforms', 'bcl_mm.engine.hooks'),
    *('bcl_mm.evaluation', 'matplotlib.pyplot', 'mmpretrain.apis'),
    *('mmpretrain.engine', 'sklearn.datasets'),
)
READ_AT_START = ('PYTHON', 'OMP_', 'MALLOC_', 'MPL')
MAX_BYTES = 2**17
MAX_FILES = 64


@contextlib.contextmanager
def warm_python(folder: Path) -> Iterator[str]:
    """Path of the program, which serves until the block ends."""
    program, address = folder / 'python', folder / 'socket'
    words = sys.executable, '-IS', __file__, '--call', address
    program.write_text(f'#!/bin/sh\nexec {" ".join(map(str, words))} "$@"\n')
    program.chmod(0o755)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(address))
        listener.listen()
        with (folder / 'server.log').open('w') as log:
            server = subprocess.Popen(
                [sys.executable, __file__, '--serve', program],
                stdin=listener,
                stdout=log,
                stderr=log,
            )
    yield str(program)
    server.terminate()
    server.wait()


def read_at_start(environment: Mapping[str, str]) -> Dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(READ_AT_START) and name != 'PYTHON'  # ours
    }


def serve(program: str) -> List[str]:
    """Import, then fork for each call; in a fork, return its words."""
    del sys.path[0]  # the folder of this file
    sys.executable = program  # what commands start is warm, too
    given = dict(os.environ)
    for name in PRELOADED:
        importlib.import_module(name)
    by_imports = dict(os.environ.items() - given.items())
    gc.collect()
    gc.freeze()
    parent = os.getppid()
    with socket.socket(fileno=0) as listener:
        while True:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)  # one that has ended
            if select.select([listener], [], [], 5)[0]:
                connection, _ = listener.accept()
                if os.fork() == 0:
                    break
                connection.close()
            elif os.getppid() != parent:
                sys.exit()
    message, files, *_ = socket.recv_fds(connection, MAX_BYTES, MAX_FILES)
    call = json.loads(message)
    if read_at_start(call['environment']) != read_at_start(given):
        os._exit(0)
    child = os.fork()
    if child:
        watch(child, connection)
    connection.close()
    become(call, files)
    os.environ.update(by_imports)
    return call['words']


def watch(child: int, connection: socket.socket) -> None:
    """Tell the caller of the child, which ends with the caller."""
    connection.send(str(child).encode())
    ended = os.pidfd_open(child)
    if ended not in select.select([connection, ended], [], [])[0]:
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(BrokenPipeError):
        connection.send(str(status).encode())
    os._exit(0)


def become(call: Dict[str, Any], files: List[int]) -> None:
    """Take over folder, environment and open files of the caller."""
    # Moved away first: a number may be that of another one.
    free = max(call['files']) + 1
    moved = [fcntl.fcntl(file, fcntl.F_DUPFD, free) for file in files]
    for file in files:
        os.close(file)
    for file, number in zip(moved, call['files']):
        os.dup2(file, number)
        os.close(file)
    os.chdir(call['folder'])
    os.environ.clear()
    os.environ.update(call['environment'])
    # The server's are of a file, and know that it can be rewound.
    sys.stdout = os.fdopen(1, 'w', closefd=False)
    sys.stderr = os.fdopen(2, 'w', 1, errors='backslashreplace', closefd=False)
    sys.modules['numpy'].random.seed()  # as in each new process


def inherited_files() -> Iterator[int]:
    for file in map(int, os.listdir('/proc/self/fd')):
        with contextlib.suppress(OSError):  # that of the listing
            if os.get_inheritable(file):
                yield file


def call(address: str, words: List[str]) -> int:
    """Exit status of the words, which a fork runs, or the real Python."""
    files = list(inherited_files())
    message = dict(
        words=words,
        files=files,
        folder=os.getcwd(),
        environment=dict(os.environ),
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.connect(address)
        socket.send_fds(server, [json.dumps(message).encode()], files)
        child = server.recv(MAX_BYTES)
        if not child:
            os.execv(sys.executable, [sys.executable, *words])
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda n, _: os.kill(int(child), n))
        status = int(server.recv(MAX_BYTES))
    if status < 0:
        with contextlib.suppress(OSError):  # of SIGKILL
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


def run(words: List[str]) -> int:
    """Run a module or a script as Python does; its exit status."""
    sys.argv = words
    try:
        if words[0] == '-m':
            del words[0]
            sys.path.insert(0, os.getcwd())
            runpy.run_module(words[0], run_name='__main__', alter_sys=True)
        else:
            sys.path.insert(0, os.path.dirname(os.path.abspath(words[0])))
            runpy.run_path(words[0], run_name='__main__')
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def end(status: int) -> None:
    """End as Python does, but for half a second in which it frees memory."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 255)


def main() -> None:
    action, place, *words = sys.argv[1:]
    if action == '--serve':
        end(run(serve(place)))
    if words[0].startswith('-') and words[0] != '-m':
        os.execv(sys.executable, [sys.executable, *words])
    sys.exit(call(place, words))


if __name__ == '__main__':
    main()
