#!/usr/bin/env bash
# Starts GPUS processes of a Python tool with torchrun:
#   launch.sh GPUS TOOL [options]
# NNODES, NODE_RANK, MASTER_ADDR and PORT describe several machines.
set -eu
gpus=$1 tool=$2
shift 2
case $gpus in
'' | *[!0-9]* | 0*)
    echo "GPUS must be a whole number >= 1, got '$gpus'" >&2
    exit 2
    ;;
esac
if [ ! -f "$1" ]; then
    echo "there is no config '$1'" >&2
    exit 2
fi
source "$(dirname "$0")/python.sh"
# The cores, shared between the processes; without this torch gives each one.
threads=$(($(nproc) / gpus))
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((threads > 0 ? threads : 1))}
export MKL_NUM_THREADS=${MKL_NUM_THREADS:-$OMP_NUM_THREADS}
exec "$PYTHON" -m torch.distributed.run \
    --nnodes "${NNODES:-1}" \
    --node_rank "${NODE_RANK:-0}" \
    --master_addr "${MASTER_ADDR:-127.0.0.1}" \
    --master_port "${PORT:-29500}" \
    --nproc_per_node "$gpus" \
    "$tool" "$@" --launcher pytorch
