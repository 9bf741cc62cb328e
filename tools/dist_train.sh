#!/usr/bin/env bash
# Train on several GPUs or, where there is none, CPU processes:
#   tools/dist_train.sh CONFIG GPUS [options of train.py]
# On several machines, set NNODES, NODE_RANK, MASTER_ADDR and PORT on each.
set -eu
if [ $# -lt 2 ]; then
    echo "usage: $0 CONFIG GPUS [options of train.py]" >&2
    exit 2
fi
config=$1 gpus=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
exec bash "$here/launch.sh" "$gpus" "$here/train.py" "$config" "$@"
