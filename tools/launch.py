"""Start processes with torchrun; the options are torchrun's.

Unlike torchrun, its exit status is that of the first process that failed, or
130 or 143 after SIGINT or SIGTERM, which it hands on to the processes.
"""

from __future__ import annotations

import sys

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run


def main() -> None:
    """Start the processes and wait for their end."""
    try:
        run(parse_args(None))
    except SignalException as interruption:
        sys.exit(128 + interruption.sigval)
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        print(
            f'Rank {failure.rank} ended first, with exit status '
            f'{failure.exitcode}; what it said stands above.',
            file=sys.stderr,
        )
        sys.exit(failure.exitcode if failure.exitcode > 0 else 1)


if __name__ == '__main__':
    main()
