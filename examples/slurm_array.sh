#!/bin/bash
# An experiment on all tasks of a Slurm job array: each is a Dask worker that takes
# batches as it is free, and task 0 shares them out, collects and writes them.
#
#   sbatch --array=0-15 examples/slurm_array.sh natural_gradient.fig3f --preset paper
#
# All tasks but 0 may start late or fail: their batches go to others. If 0 ends before
# its time, submit the same line again: finished batches are kept. Needs the extra
# [slurm], and a folder that all tasks see.
#SBATCH --cpus-per-task=1 --mem=4G --time=08:00:00 --output=slurm-%A_%a.out
set -euo pipefail
scheduler=$PWD/.scheduler-$SLURM_ARRAY_JOB_ID.json

wait_for_scheduler() {
  for _ in {1..600}; do
    if [ -s "$scheduler" ]; then return; fi
    sleep 1
  done
  echo "no scheduler within ten minutes" >&2
  exit 1
}

work() {
  NPROC=1 dask worker --scheduler-file "$scheduler" --nthreads 1 --no-nanny \
    --death-timeout 60 --local-directory "${TMPDIR:-/tmp}"
}

finish() {
  python -c "import sys; from distributed import Client
Client(scheduler_file=sys.argv[1], timeout=10).shutdown()" "$scheduler" || true
  rm -f "$scheduler"
  wait
}

if [ "$SLURM_ARRAY_TASK_ID" != 0 ]; then
  wait_for_scheduler
  work
  exit
fi
rm -f "$scheduler" # of an attempt that was lost
trap finish EXIT
dask scheduler --port 0 --no-dashboard --scheduler-file "$scheduler" &
wait_for_scheduler
work &
plasticity-jax run "$@" --resume --dask "$scheduler"
