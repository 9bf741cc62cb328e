#!/usr/bin/env bash
# From a fresh machine to a table and a report: cross-entropy, logit adjustment
# and BCL on long-tailed handwritten digits. Makes .venv, or uses the active
# environment.
set -eu
cd "$(dirname "$0")/.."
source tools/setup_env.sh
setup_env ''
exec "$PYTHON" tools/compare.py --work-dir work_dirs/quickstart --report \
    configs/ce_resnet8_digits_lt.py \
    configs/la_resnet8_digits_lt.py \
    configs/bcl_resnet8_digits_lt.py "$@"
