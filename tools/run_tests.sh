#!/usr/bin/env bash
# Lint and all tests, on a fresh machine too: makes .venv or uses the active
# environment, and installs what testing needs. --fast leaves out the slow
# tests (kills, several nodes). Other options go to pytest:
#   bash tools/run_tests.sh --fast -k contrastive
set -eu
cd "$(dirname "$0")/.."
source tools/setup_env.sh
if [ "${1:-}" = --fast ]; then
    shift
    set -- -m 'not slow' "$@"
fi
setup_env test
echo 'Lint ...'
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
echo 'Tests ...'
# As many tests side by side as there are cores, one thread each.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec "$PYTHON" -m pytest -n auto --maxprocesses 8 --dist worksteal "$@"
