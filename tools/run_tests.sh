#!/usr/bin/env bash
# Lint, types and all tests:
#   bash tools/run_tests.sh [--fast] [options of pytest]
# Makes .venv, or uses the active environment, and installs what testing needs.
# --fast leaves out the tests that start commands, processes or browsers, or
# that train for longer than a few iterations: 3 minutes on 2 cores.
set -eu
cd "$(dirname "$0")/.."
source tools/setup_env.sh
show_help tools/run_tests.sh "$@"
if [ "${1:-}" = --fast ]; then
    shift
    set -- -m 'not long and not slow and not documents' "$@"
fi
setup_env test
echo 'Lint ...'
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
"$PYTHON" -m codespell_lib .
# Those of the newest releases: the annotations of pinned ones differ.
if [ -z "${PIP_CONSTRAINT:-}" ]; then
    echo 'Types ...'
    "$PYTHON" -m mypy
fi
echo 'Tests ...'
# One test per core at a time, each with one thread.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec "$PYTHON" -m pytest -n auto --maxprocesses 8 --dist worksteal "$@"
