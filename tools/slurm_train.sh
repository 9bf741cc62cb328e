#!/usr/bin/env bash
# Train on the GPUs of a Slurm cluster:
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG GPUS [options of train.py]
# GPUS_PER_NODE, CPUS_PER_TASK, PORT and SRUN_ARGS are read from the
# environment; slurm.sh says how.
set -eu
if [ $# -lt 4 ]; then
    echo "usage: $0 PARTITION JOB_NAME CONFIG GPUS [options of train.py]" >&2
    exit 2
fi
partition=$1 job=$2 config=$3 gpus=$4
shift 4
here=$(cd "$(dirname "$0")" && pwd)
exec bash "$here/slurm.sh" "$partition" "$job" "$gpus" "$here/train.py" \
    "$config" "$@"
