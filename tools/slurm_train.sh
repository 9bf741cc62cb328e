#!/usr/bin/env bash
# Train on the GPUs of a Slurm cluster:
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG GPUS [options of train.py]
# slurm.sh lists the environment variables.
set -eu
if [ $# -lt 4 ]; then
    echo "usage: $0 PARTITION JOB_NAME CONFIG GPUS [options of train.py]" >&2
    exit 2
fi
partition=$1 job=$2 config=$3 gpus=$4
shift 4
exec bash "$(dirname "$0")/slurm.sh" "$partition" "$job" "$gpus" train \
    "$config" "$@"
