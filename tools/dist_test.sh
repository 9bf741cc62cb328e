#!/usr/bin/env bash
# Test on several GPUs or, where there is none, CPU processes:
#   tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of test.py]
# For several machines see bcl-mm launch --help.
set -eu
if [ $# -lt 3 ]; then
    echo "usage: $0 CONFIG CHECKPOINT GPUS [options of test.py]" >&2
    exit 2
fi
config=$1 checkpoint=$2 gpus=$3
shift 3
source "$(dirname "$0")/python.sh"
exec "$PYTHON" -m bcl_mm launch "$gpus" test "$config" "$checkpoint" "$@"
