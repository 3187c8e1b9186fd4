#!/bin/bash
# An experiment on all tasks of a Slurm job array: each is a Dask worker that takes
# batches as it is free, and task 0 shares them out, collects and writes them.
#
#   sbatch --array=0-15 examples/slurm_array.sh natural_gradient.fig3f --preset paper
#
# Tasks may start late, and all but 0 may fail: their batches go to others. If 0 ends
# before its time, submit the same line again: finished batches are kept. For a GPU in
# each task add --gres=gpu:1. Needs the extra [slurm], and a folder that all tasks see.
#SBATCH --cpus-per-task=1 --mem=4G --time=08:00:00 --output=slurm-%A_%a.out
set -euo pipefail
scheduler=$PWD/.scheduler-$SLURM_ARRAY_JOB_ID.json

work() {
  until [ -s "$scheduler" ]; do sleep 1; done
  NPROC=1 dask worker --scheduler-file "$scheduler" --nthreads 1 --no-nanny \
    --death-timeout 60 --local-directory "${TMPDIR:-/tmp}"
}

finish() {
  python -c "import sys; from distributed import Client
Client(scheduler_file=sys.argv[1]).shutdown()" "$scheduler"
  wait
  rm -f "$scheduler"
}

if [ "$SLURM_ARRAY_TASK_ID" != 0 ]; then
  work
  exit
fi
dask scheduler --port 0 --no-dashboard --scheduler-file "$scheduler" &
work &
trap finish EXIT
until [ -s "$scheduler" ]; do sleep 1; done
plasticity-jax run "$@" --resume --dask "$scheduler"
