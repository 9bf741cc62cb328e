#!/usr/bin/env bash
# Starts GPUS processes of a Python tool with Slurm's srun:
#   slurm.sh PARTITION JOB_NAME GPUS TOOL CONFIG [options]
# Read from the environment:
#   GPUS_PER_NODE  GPUs, and so processes, of a node; 8, or GPUS if fewer
#   CPUS_PER_TASK  CPUs of a process, its data workers included; 5
#   PORT           a free port of the first node; 29500
#   SRUN_ARGS      more options of srun, such as '--time=1-0 --qos=low'
#   RDZV_TIMEOUT, DIST_TIMEOUT  see launch.sh
set -eu
partition=$1 job=$2 gpus=$3 tool=$4
shift 4
source "$(dirname "$0")/checks.sh"
check_number GPUS "$gpus" 1
per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
check_number GPUS_PER_NODE "$per_node" 1
check_number CPUS_PER_TASK "${CPUS_PER_TASK:-5}" 1
check_number PORT "${PORT:-29500}" 1
if [ $((gpus % per_node)) -ne 0 ]; then
    echo "GPUS must be a multiple of GPUS_PER_NODE, got $gpus and" \
        "$per_node" >&2
    exit 2
fi
check_config "$1"
if ! command -v srun >/dev/null; then
    echo 'there is no srun on this machine, which is no node of a Slurm' \
        'cluster: tools/dist_train.sh and dist_test.sh run without' >&2
    exit 2
fi
source "$(dirname "$0")/python.sh"
export MASTER_PORT=${PORT:-29500}
# If one process dies, Slurm ends the others. (SRUN_ARGS is several words.)
# shellcheck disable=SC2086
exec srun \
    --partition="$partition" \
    --job-name="$job" \
    --nodes=$((gpus / per_node)) \
    --ntasks="$gpus" \
    --ntasks-per-node="$per_node" \
    --gres="gpu:$per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    "$PYTHON" -u "$tool" "$@" --launcher slurm
