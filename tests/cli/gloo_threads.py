"""Imported by a config, prints how many threads of gloo are left at the end.

One that still works while the interpreter exits aborts the process.
"""

import atexit
from pathlib import Path


def report() -> None:
    tasks = Path('/proc/self/task').glob('*/comm')
    number = sum('gloo' in task.read_text() for task in tasks)
    print(f'threads of gloo: {number}', flush=True)


atexit.register(report)
