#!/usr/bin/env bash
# Starts GPUS processes of a Python tool, as one node of a training:
#   launch.sh GPUS TOOL CONFIG [options]
# Read from the environment, and the same on all nodes but for NODE_RANK:
#   NNODES        number of nodes (machines); 1
#   NODE_RANK     which of them this is, from 0 on; 0
#   MASTER_ADDR   address of node 0; 127.0.0.1
#   PORT          a free port of node 0; 29500
#   RDZV_TIMEOUT  seconds in which all nodes, and then all processes, must
#                 have started; 40
#   DIST_TIMEOUT  seconds after which a collective counts as failed; gloo's
#                 (CPU) 1800, and NCCL's own
set -eu
gpus=$1 tool=$2
shift 2
source "$(dirname "$0")/checks.sh"
export NNODES=${NNODES:-1} NODE_RANK=${NODE_RANK:-0} PORT=${PORT:-29500}
export MASTER_ADDR=${MASTER_ADDR:-127.0.0.1}
export RDZV_TIMEOUT=${RDZV_TIMEOUT:-40}
check_number GPUS "$gpus" 1
check_number NNODES "$NNODES" 1
check_number NODE_RANK "$NODE_RANK" 0
check_number PORT "$PORT" 1
check_number RDZV_TIMEOUT "$RDZV_TIMEOUT" 1
check_number DIST_TIMEOUT "${DIST_TIMEOUT:-1}" 1
if [ "$NODE_RANK" -ge "$NNODES" ]; then
    echo "NODE_RANK must be < NNODES, got $NODE_RANK of $NNODES" >&2
    exit 2
fi
check_config "$1"
source "$(dirname "$0")/python.sh"
# The cores, shared between the processes; without this torch gives each one.
threads=$(($(nproc) / gpus))
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((threads > 0 ? threads : 1))}
export MKL_NUM_THREADS=${MKL_NUM_THREADS:-$OMP_NUM_THREADS}
# Without C++ stacks of a node that is not there yet.
export TORCH_CPP_LOG_LEVEL=${TORCH_CPP_LOG_LEVEL:-ERROR}
exec "$PYTHON" -m bcl_mm.cli.launch "$gpus" "$tool" "$@"
