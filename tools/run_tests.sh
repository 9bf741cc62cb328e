#!/usr/bin/env bash
# Lint and all tests, on a fresh machine too: makes .venv or uses the active
# environment, and installs what testing needs. Options go to pytest:
#   bash tools/run_tests.sh -k contrastive
set -eu
cd "$(dirname "$0")/.."
source tools/setup_env.sh
setup_env test
echo 'Lint ...'
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
echo 'Tests ...'
exec "$PYTHON" -m pytest "$@"
