"""From how many runs on is a GPU worth while? A model of its cost: none was measured.

One experiment of each system, its `small` preset cut to some steps without records. A
GPU's step is assumed to take as long as the slowest of four: launching its kernels,
moving what they read and write, drawing random words, matrix products. From this
follow the runs at once with which it overtakes one core of this CPU, and 16, the runs
that fill it (more make it no faster), and how many times 16 cores it then does at most.

Its kernels are those that XLA leaves in the compiled loop over time: where there is no
GPU, of the program for a CPU, which it fuses less. (Compiled for an H100, which needs
none, the same loops had 0.4 to 0.7 times as many: a GPU may pay from fewer runs.) A
conditional counts as one kernel: its inside is due at each 10th or 20th step; if the
host waits for it, it costs more. The constants below are assumed, and so is that 16
cores are 16 times as fast as one. Where JAX finds a GPU the same command counts that
GPU's kernels and prints what it measures there beside the model.
`OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/gpu.py`.
"""

import math
import re
from collections import Counter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.extend.core import jaxprs_in_params
from turns import in_turns, median, print_machine, Spent

from plasticity_jax import simulate
from plasticity_jax._interfaces import advance
from plasticity_jax._random import unrolled
from plasticity_jax._sweep import _batch_size, _lanes
from plasticity_jax.experiment._plan import load_plan
from plasticity_jax.systems import (
    experiments,
    natural_gradient,
    optimal_plasticity,
    presynaptic_stochasticity,
    stable_memory,
    two_factor_consolidation,
)
from plasticity_jax.systems.presynaptic_stochasticity.training import stream_of


LAUNCH = (2e-6, 5e-6)  # seconds, least and most: a kernel in a compiled loop
BANDWIDTH = 3e12  # bytes a second, as of an H100
WORDS = 1e11  # random words a second: some 100 integer operations each
FLOPS = 2e13  # a second, in small products of float32
CORES = 16  # of the CPU that a GPU is compared with
STEPS, ROUNDS, ON_CPU, ON_GPU = 500, 3, (1, 4, 64), (1, 16, 256, 4096)
FREE = ("parameter", "tuple", "get-tuple-element", "bitcast", "constant", "after-all")
TABLE = "{:32}{:>8}{:>7}{:>7}{:>15}{:>11}{:>14}{:>13}{:>10}"
HEADS = (
    "|kernels|state|moved|us on a core|runs to|runs to beat|runs to|times",
    f"run and step|a step|KiB|KiB|(batch)|beat it|{CORES} cores|fill it|{CORES} cores",
)


def released(source: Any, config: Any, key: jax.Array) -> tuple[Any, Any]:
    """A network with plastic release and the first task of its stream."""
    for_stream, for_build = jr.split(key)
    task, pixels = stream_of(config, source, for_stream).tasks[0], source.train_images
    return presynaptic_stochasticity.build(config, task, pixels.shape[1], for_build)[:2]


MODELS: dict[str, Any] = {
    "optimal_plasticity.fig5": optimal_plasticity.build,
    "natural_gradient.fig3f": natural_gradient.build,
    "stable_memory.fig2": stable_memory.build,
    "two_factor_consolidation.fig2": two_factor_consolidation.build,
    "presynaptic_stochasticity.split": released,
}


def run(build: Any, config: Any, key: jax.Array) -> dict[str, jax.Array]:
    """What the synapses add up to when the steps are over."""
    for_build, for_run = jr.split(key)
    system, start = build(config, for_build)
    end, _ = simulate(system, start, for_run, steps=STEPS, every=STEPS)
    return {"sum": jnp.stack([jnp.sum(x) for x in jax.tree.leaves(end.synapses)])}


class Step(NamedTuple):
    """Kernels of a batch's step; for each run the state's bytes and the step's work."""

    kernels: int
    state: int
    moved: float
    words: int
    flops: int

    @property
    def full(self) -> float:
        """Seconds per run of a GPU with so many runs that launches do not count."""
        return max(self.moved / BANDWIDTH, self.words / WORDS, self.flops / FLOPS)

    def runs(self, seconds: float) -> str:
        """From how many runs at once a step takes less than `seconds` per run."""
        if self.full > seconds:
            return "never"
        return "-".join(f"{math.ceil(self.kernels * x / seconds)}" for x in LAUNCH)


def launched(text: str) -> tuple[int, int]:
    """Kernels in the compiled loop of most turns; bytes that they read and write."""
    loops = re.findall(r'body=%?([\w.-]+).*?known_trip_count":{"n":"(\d+)', text)
    blocks = dict(re.findall(r"(?ms)^%?([\w.-]+) (\(.*?)^}", text))
    body = blocks[max(loops, key=lambda loop: int(loop[1]))[0]]
    line = r"%?([\w.-]+) = (\([^)]*\)|\S+) ([\w-]+)\(([^)]*)\)(?:.*calls=%?([\w.-]+))?"
    sizes, kernels, moved = {}, 0, 0
    for name, kind, operation, operands, called in re.findall(line, body):
        sizes[name] = bytes_of(kind)
        if operation not in FREE:
            inside = blocks[called] if called else f" {operation}("
            picks = re.search(r" (gather|dynamic-slice)\(", inside)
            most = sizes[name] if picks else math.inf  # that it reads of an operand
            reads = [sizes[x] for x in re.findall(r"[\w.-]+", operands) if x in sizes]
            kernels += 1
            moved += sizes[name] + sum(min(x, most) for x in reads)
    return kernels, int(moved)


def bytes_of(kind: str) -> int:
    """Bytes of an array, or of a tuple of arrays, in XLA's notation."""
    arrays = re.findall(r"(?:pred|[a-z]+(\d+))\[([\d,]*)\]", kind)
    count = lambda shape: math.prod(int(n) for n in shape.split(",") if n)
    return sum(int(bits or 8) // 8 * count(shape) for bits, shape in arrays)


def work(jaxpr: Any) -> Counter[str]:
    """Random words and operations of products, outside of conditionals."""
    total: Counter[str] = Counter()
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        results = sum(math.prod(x.aval.shape) for x in equation.outvars)
        if name == "random_bits":
            total["words"] += results * params["bit_width"] // 32
        elif name == "dot_general":
            shape, axes = equation.invars[0].aval.shape, params["dimension_numbers"]
            total["flops"] += 2 * results * math.prod(shape[i] for i in axes[0][0])
        elif name != "cond":
            for inner in jaxprs_in_params(params):
                for kind, count in work(inner).items():
                    total[kind] += count * params.get("length", 1)
    return total


def measured(
    build: Any, config: Any, sizes: tuple[int, ...]
) -> tuple[dict[int, Spent], Step]:
    """Seconds per run and step of the batches that fit the memory, and what a step is.

    The kernels are those of the largest batch.
    """
    partial, programs, key = jax.tree_util.Partial(run, build), {}, unrolled(jr.key(0))
    lanes = _lanes.Lanes.of(partial, config, [], jr.split(jr.key(0), max(sizes)))
    for size in sizes:
        if lanes.compile(size) < _batch_size.device_memory():
            batch, program = lanes.batch(np.arange(size)), lanes.programs[size]
            programs[f"{size}"] = lambda program=program, batch=batch: program(*batch)
    times = {int(name): median(x) for name, x in in_turns(programs, ROUNDS).items()}
    each = {k: Spent(x.wall / k / STEPS, x.cpu / k / STEPS) for k, x in times.items()}
    kernels, moved = launched(lanes.programs[max(each)].compiled.as_text())
    system, state = build(config, key)
    one = jax.make_jaxpr(lambda state: advance(system, state, key)[0])(state)
    counts, held = work(one.jaxpr), sum(x.nbytes for x in jax.tree.leaves(state))
    step = Step(kernels, held, moved / max(each), counts["words"], counts["flops"])
    return each, step


def main() -> None:
    gpu = jax.devices()[0].platform != "cpu"
    known = {named.name: named for named in experiments()}
    for head in HEADS:
        print(TABLE.format(*head.split("|")))
    for name, build in MODELS.items():
        experiment = known[name].experiment
        config = load_plan(experiment.config, known[name].path, "small").config
        if experiment.data is not None:
            build = jax.tree_util.Partial(build, experiment.data(config))
        with jax.default_device(jax.devices("cpu")[0]):
            times, step = measured(build, config, ON_CPU)
        core, best = min((spent.cpu, size) for size, spent in times.items())
        seen, step = measured(build, config, ON_GPU) if gpu else ({}, step)
        sizes = step.kernels, f"{step.state / 1024:.1f}", f"{step.moved / 1024:.0f}"
        cpu = f"{1e6 * core:.2f} ({best})"
        runs = [step.runs(x) for x in (core, core / CORES, step.full)]
        print(TABLE.format(name, *sizes, cpu, *runs, f"{core / CORES / step.full:.1f}"))
        for size, spent in seen.items():
            low, high = (max(step.kernels * x / size, step.full) for x in LAUNCH)
            print(f"{size:6} runs: measured {1e6 * spent.wall:.3f} us, model ", end="")
            print(f"{1e6 * low:.3f}-{1e6 * high:.3f} us per run and step")
    if not gpu:
        print("no GPU here: all that concerns one is the model's")
    print_machine()


if __name__ == "__main__":
    main()
