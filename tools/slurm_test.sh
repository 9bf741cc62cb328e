#!/usr/bin/env bash
# Test on the GPUs of a Slurm cluster; slurm.sh lists the environment
# variables:
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
exec bash "$(dirname "$0")/slurm.sh" "$partition" "$job" "$gpus" test \
    "$config" "$checkpoint" "$@"
