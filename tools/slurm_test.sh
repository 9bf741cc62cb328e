#!/usr/bin/env bash
# Test on the GPUs of a Slurm cluster; slurm.sh says what is read from the
# environment:
#   tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT GPUS \
#       [options of test.py]
set -eu
if [ $# -lt 5 ]; then
    echo "usage: $0 PARTITION JOB_NAME CONFIG CHECKPOINT GPUS" \
        '[options of test.py]' >&2
    exit 2
fi
partition=$1 job=$2 config=$3 checkpoint=$4 gpus=$5
shift 5
here=$(cd "$(dirname "$0")" && pwd)
exec bash "$here/slurm.sh" "$partition" "$job" "$gpus" "$here/test.py" \
    "$config" "$checkpoint" "$@"
