#!/usr/bin/env bash
# Starts GPUS processes of train or test with Slurm's srun:
#   slurm.sh PARTITION JOB_NAME GPUS COMMAND CONFIG [options]
# Environment variables:
#   GPUS_PER_NODE  GPUs, and so processes, of a node; 8, or GPUS if fewer
#   CPUS_PER_TASK  CPUs of a process, including its data workers; 5
#   PORT           a free port of the first node; 29500
#   SRUN_ARGS      more options of srun, such as '--time=1-0 --qos=low'
#   RDZV_TIMEOUT, DIST_TIMEOUT  see bcl-mm launch --help
set -eu
partition=$1 job=$2 gpus=$3 command=$4
shift 4
fail() {
    echo "$*" >&2
    exit 2
}
check_number() { # NAME VALUE
    case $2 in
    '' | *[!0-9]* | 0*) fail "$1 must be a whole number >= 1, got '$2'" ;;
    esac
}
check_number GPUS "$gpus"
per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
check_number GPUS_PER_NODE "$per_node"
check_number CPUS_PER_TASK "${CPUS_PER_TASK:-5}"
port=${PORT:-29500}
check_number PORT "$port"
if [ ${#port} -gt 5 ] || [ "$port" -gt 65535 ]; then
    fail "PORT must be a whole number in [1, 65535], got '$port'"
fi
if [ $((gpus % per_node)) -ne 0 ]; then
    fail "GPUS must be a multiple of GPUS_PER_NODE, got $gpus and $per_node"
fi
source "$(dirname "$0")/python.sh"
if [ ! -f "$1" ] && [ ! -f "$root/configs/${1%.py}.py" ]; then
    fail "there is no config '$1'"
fi
if ! command -v srun >/dev/null; then
    fail 'there is no srun on this machine: without Slurm, use' \
        'tools/dist_train.sh or dist_test.sh'
fi
export MASTER_PORT=$port
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
    "$PYTHON" -u -m bcl_mm "$command" "$@" --launcher slurm
