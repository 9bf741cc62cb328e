#!/usr/bin/env bash
# From a fresh machine to a table and a report: cross-entropy, logit adjustment
# and BCL on long-tailed handwritten digits:
#   bash tools/quickstart.sh [options of compare.py]
# Makes .venv, or uses the active environment, and installs bcl_mm there.
set -eu
cd "$(dirname "$0")/.."
source tools/setup_env.sh
show_help tools/quickstart.sh "$@"
setup_env ''
exec "$PYTHON" tools/compare.py --work-dir work_dirs/quickstart --report \
    configs/ce_resnet8_digits_lt.py \
    configs/la_resnet8_digits_lt.py \
    configs/bcl_resnet8_digits_lt.py "$@"
