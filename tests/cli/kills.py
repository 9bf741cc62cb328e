"""Trains a config to its end, killed again and again.

    python -m tests.cli.kills CONFIG WORK_DIR KILLS SEED

Each start is a fork of this process, so that the imports, which take seconds,
come once. One training after another (WORK_DIR/0, WORK_DIR/1, ...) is killed
and resumed, until there were KILLS of them; the last one then ends.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import bcl_mm.apis.config  # noqa: F401  (what train imports, once)
from bcl_mm.cli.main import main as run_command
from bcl_mm.engine.resume import latest_checkpoint


def start(config, folder):
    """Process id of a new training, which resumes."""
    folder.mkdir(parents=True, exist_ok=True)
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        log = os.open(folder / 'log', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        words = ['train', config, '--resume', '--work-dir', str(folder)]
        run_command(words)
        status = 0
    finally:
        sys.stdout.flush()
        os._exit(status)


def has_ended(child):
    """Whether a training has ended; an error if it has failed."""
    found, status = os.waitpid(child, os.WNOHANG)
    assert status == 0, status
    return found != 0


def is_killed(child, folder, draw):
    """Kill a training at a random moment, unless it ends before."""
    if draw.random() < 0.5:  # while a checkpoint is written
        seen = set(folder.glob('*.part'))  # left by the kill before
        while not set(folder.glob('epoch*.part')) - seen:
            if has_ended(child):
                return False
            seen &= set(folder.glob('*.part'))
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.3))
    else:
        time.sleep(draw.uniform(0, 2))
    if has_ended(child):
        return False
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def main():
    config, work_dir, kills, seed = sys.argv[1:]
    draw = random.Random(int(seed))
    done = halves = chains = 0
    while done < int(kills):
        folder = Path(work_dir) / str(chains)
        chains += 1
        while True:
            child = start(config, folder)
            if done == int(kills):
                while not has_ended(child):
                    time.sleep(0.05)
                break
            if not is_killed(child, folder, draw):
                break
            done += 1
            halves += any(folder.glob('epoch*.part'))
            latest_checkpoint(str(folder))  # an error if none is whole
    print(f'{done} kills, {halves} with a half-written checkpoint')


if __name__ == '__main__':
    main()
