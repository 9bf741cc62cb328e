#!/usr/bin/env bash
# Train on several GPUs or, where there is none, CPU processes:
#   tools/dist_train.sh CONFIG GPUS [options of train.py]
# For several machines see bcl-mm launch --help.
set -eu
if [ $# -lt 2 ]; then
    echo "usage: $0 CONFIG GPUS [options of train.py]" >&2
    exit 2
fi
config=$1 gpus=$2
shift 2
source "$(dirname "$0")/python.sh"
exec "$PYTHON" -m bcl_mm launch "$gpus" train "$config" "$@"
