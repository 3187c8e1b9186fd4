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

With `--table FILE` it also writes as Markdown what a step takes on JAX's device (this
CPU, if there is no GPU) with 1 to 4096 runs at once, and how far its synapses are after
a few steps from those that the CPU computes, relative to the largest one, products at
full precision; more than `TOLERANCE` is an error. What would not end within `--seconds`
is skipped, and the table says so.
"""

import argparse
import math
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
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
CHECKED, TOLERANCE = (16, 10), 1e-3  # runs and steps that a CPU repeats
CALLS = 3 + ROUNDS  # of a program that takes long: warm-ups, a guess, the rounds
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
            for inner in (x for x in jax.tree.leaves(params) if hasattr(x, "eqns")):
                for kind, count in work(inner).items():
                    total[kind] += count * params.get("length", 1)
    return total


def measured(
    build: Any, config: Any, sizes: tuple[int, ...], seconds: float = math.inf
) -> tuple[dict[int, Spent], Step]:
    """Seconds per run and step of the batches, and what a step is.

    Batches too large for the memory, or likely to end after so many `seconds`, are not
    there; the first one is. The kernels are those of the largest.
    """
    partial, key = jax.tree_util.Partial(run, build), unrolled(jr.key(0))
    lanes = _lanes.Lanes.of(partial, config, [], jr.split(jr.key(0), max(sizes)))
    end, each, cost = time.monotonic() + seconds, {}, 0.0
    for size in sizes:
        if each and time.monotonic() + cost > end:
            break
        compiling = lanes.compile_seconds
        if lanes.compile(size) > _batch_size.device_memory():
            break
        compiling = lanes.compile_seconds - compiling
        batch, program = lanes.batch(np.arange(size)), lanes.programs[size]
        programs = {"": lambda program=program, batch=batch: program(*batch)}
        spent = median(in_turns(programs, ROUNDS)[""])
        each[size] = Spent(spent.wall / size / STEPS, spent.cpu / size / STEPS)
        following = sizes[sizes.index(size) + 1 :][:1]  # at worst as dear a run
        cost = 2 * compiling + CALLS * spent.wall * sum(following) / size + 1
    kernels, moved = launched(lanes.programs[max(each)].compiled.as_text())
    system, state = build(config, key)
    one = jax.make_jaxpr(lambda state: advance(system, state, key)[0])(state)
    counts, held = work(one.jaxpr), sum(x.nbytes for x in jax.tree.leaves(state))
    step = Step(kernels, held, moved / max(each), counts["words"], counts["flops"])
    return each, step


@eqx.filter_jit
def after(build: Any, config: Any, keys: jax.Array, steps: int) -> Any:
    """Synapses of a run for each key, so many steps after its start."""

    def synapses(key: jax.Array) -> Any:
        for_build, for_run = jr.split(key)
        system, start = build(config, for_build)
        return simulate(system, start, for_run, steps=steps, every=steps)[0].synapses

    return jax.vmap(synapses)(keys)


def difference(found: Any, expected: Any) -> float:
    """The largest of any synapse, relative to the largest of its array."""
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    arrays = [(np.asarray(x), np.asarray(y)) for x, y in pairs]
    return max(float(np.max(np.abs(x - y)) / np.max(np.abs(y))) for x, y in arrays)


def from_cpu(build: Any, config: Any) -> float:
    """How far JAX's device is from the CPU, products at full precision."""
    runs, steps = CHECKED
    found = []
    for device in (jax.devices()[0], jax.devices("cpu")[0]):
        with jax.default_device(device), jax.default_matmul_precision("float32"):
            found.append(after(build, config, jr.split(jr.key(0), runs), steps))
    return difference(*found)


def table_rows(name: str, core: float, seen: dict[int, Spent], off: float) -> list[str]:
    """Lines of the Markdown table: one for each number of runs at once."""
    cells = {
        size: f"{1e6 * spent.wall:.3g} | {core / spent.wall:.3g} | {off:.1e}"
        for size, spent in seen.items()
    }
    skipped = "skipped | | "
    return [f"| `{name}` | {n} | {cells.get(n, skipped)} |" for n in ON_GPU]


def write_table(path: Path, lines: list[str]) -> None:
    runs, steps = CHECKED
    head = (
        f"{jax.devices()[0].device_kind}, JAX {jax.__version__}. Difference of {runs} "
        f"runs after {steps} steps, relative to the largest synapse; allowed: "
        f"{TOLERANCE:g}.\n\n| step of | runs at once | us per run and step "
        "| times one CPU core | difference from the CPU |\n"
        "| --- | --- | --- | --- | --- |\n"
    )
    path.write_text(head + "\n".join(lines) + "\n")


def main(table: Path | None, seconds: float) -> None:
    here = jax.devices()[0].platform != "cpu" or table is not None
    known, lines, wrong = {named.name: named for named in experiments()}, [], []
    end, parts = time.monotonic() + seconds, 2 * len(MODELS)
    for head in HEADS:
        print(TABLE.format(*head.split("|")))
    for name, build in MODELS.items():
        if time.monotonic() > end:
            print(f"{name}: skipped, after {seconds:g} s")
            lines += table_rows(name, 0.0, {}, 0.0)
            continue
        experiment = known[name].experiment
        config = load_plan(experiment.config, known[name].path, "small").config
        if experiment.data is not None:
            build = jax.tree_util.Partial(build, experiment.data(config))
        share = (end - time.monotonic()) / parts
        with jax.default_device(jax.devices("cpu")[0]):
            times, step = measured(build, config, ON_CPU, share)
        core, best = min((spent.cpu, size) for size, spent in times.items())
        share = (end - time.monotonic()) / (parts - 1)
        parts -= 2
        seen, step = measured(build, config, ON_GPU, share) if here else ({}, step)
        sizes = step.kernels, f"{step.state / 1024:.1f}", f"{step.moved / 1024:.0f}"
        cpu = f"{1e6 * core:.2f} ({best})"
        runs = [step.runs(x) for x in (core, core / CORES, step.full)]
        print(TABLE.format(name, *sizes, cpu, *runs, f"{core / CORES / step.full:.1f}"))
        for size, spent in seen.items():
            low, high = (max(step.kernels * x / size, step.full) for x in LAUNCH)
            print(f"{size:6} runs: measured {1e6 * spent.wall:.3f} us, model ", end="")
            print(f"{1e6 * low:.3f}-{1e6 * high:.3f} us per run and step")
        if table is not None:
            off = from_cpu(build, config)
            lines += table_rows(name, core, seen, off)
            wrong += [] if off <= TOLERANCE else [f"{name}: {off:.1e}"]
    if table is not None:
        write_table(table, lines)
    if jax.devices()[0].platform == "cpu":
        print("no GPU here: all that concerns one is the model's")
    print_machine()
    if wrong:
        raise SystemExit(f"too far from the CPU: {', '.join(wrong)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--table", type=Path, help="write the Markdown table here")
    parser.add_argument("--seconds", type=float, default=540.0)
    main(**vars(parser.parse_args()))
