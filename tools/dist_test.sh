#!/usr/bin/env bash
# Test on several GPUs or, where there is none, CPU processes:
#   tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of test.py]
# On several machines, set NNODES, NODE_RANK, MASTER_ADDR and PORT on each.
set -eu
if [ $# -lt 3 ]; then
    echo "usage: $0 CONFIG CHECKPOINT GPUS [options of test.py]" >&2
    exit 2
fi
config=$1 checkpoint=$2 gpus=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)
exec bash "$here/launch.sh" "$gpus" "$here/test.py" \
    "$config" "$checkpoint" "$@"
