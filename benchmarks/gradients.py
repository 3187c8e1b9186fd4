"""What do the gradients of a long run cost beside the run itself, in time and memory?

The plain run, forward mode for one parameter and reverse mode take turns in one
process, for 100,000 steps of runs with 36 synapses; ratios are medians over rounds of
CPU times within a round, memory is the compiled program's own account of what it needs
beside its arguments. Predicted: a run costs what its kernels cost, so forward mode less
than twice it; reverse mode the run, the run again and a pass back, 3 to 4 times it, and
more where a step is so short that writing what the pass back needs, a kernel for each
array, takes longer than the step.
`OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 taskset -c 1 python benchmarks/gradients.py`.
"""

import argparse
import dataclasses
import functools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
from jax.stages import Compiled
from turns import cpu_ratio, in_turns, median, print_machine

from plasticity_jax import simulate
from plasticity_jax.inference import checkpoint_interval, derivative
from plasticity_jax.systems import optimal_plasticity as optimal
from plasticity_jax.systems import stable_memory as stable
from plasticity_jax.systems import two_factor_consolidation as factors


KEY = jr.key(0)
KERNELS = r"^\s+(?:ROOT )?%\S+ = .*? (fusion|dot|call|custom-call|conditional|copy)\("


def loss(state: Any, signals: Any, changes: Any) -> Any:
    return signals.loss


def fourth(state: Any, signals: Any, changes: Any) -> Any:
    return sum(jnp.sum(x**4) for x in jax.tree.leaves(state.synapses))


class Case(NamedTuple):
    """A configuration with 36 synapses, the field that is varied, what is recorded."""

    config: Any
    build: Callable[..., Any]
    field: str
    record: Any


silent = {"size": 6, "spin_up": 0.0, "initial_gain": 0.1, "strength": 0.0}
CASES = {
    "linear network": Case(optimal.Config(sizes=(6, 6)), optimal.build, "ratio", loss),
    "two layers": Case(
        optimal.Config(sizes=(3, 6, 3), samples=50), optimal.build, "ratio", loss
    ),
    "two factors": Case(
        factors.Config(size=6, rows=6, patterns=3), factors.build, "rate", fourth
    ),
    "rate network": Case(
        stable.Config(**silent), stable.build, "homeostasis_gain", fourth
    ),
    "rate network, noise a step": Case(
        stable.Config(**silent, noise_every=1), stable.build, "noise", fourth
    ),
}


def programs(case: Case, steps: int) -> dict[str, Compiled]:
    """The run and its derivatives, compiled."""
    x = getattr(case.config, case.field)

    def run(x: Any) -> Any:
        config = dataclasses.replace(case.config, **{case.field: x})
        system, state = case.build(config, KEY)[:2]
        every = checkpoint_interval(steps)
        options = {"steps": steps, "every": every, "record": case.record}
        return jnp.mean(simulate(system, state, KEY, **options)[1])

    def slope(mode: str) -> Any:
        def found(x: Any) -> Any:
            done = derivative(run, x, mode=mode)
            return done.value, done.slope

        return jax.jit(found).lower(x).compile()

    plain = jax.jit(lambda x: run(x)).lower(x).compile()
    return {"run": plain, "forward": slope("forward"), "reverse": slope("reverse")}


def kernels(program: Compiled, steps: int) -> int:
    """Kernels that a step launches, over all loops through the steps of a piece."""
    text = program.as_text() or ""
    trips = f'"known_trip_count":{{"n":"{checkpoint_interval(steps) - 1}"}}'
    loops = [line for line in text.splitlines() if trips in line]
    bodies = {name for line in loops for name in re.findall(r"body=(%[\w.]+)", line)}
    parts = [
        x for x in re.split(r"\n(?=%|ENTRY)", text) if x.split(" ", 1)[0] in bodies
    ]
    return sum(len(re.findall(KERNELS, part, re.MULTILINE)) for part in parts)


def megabytes(program: Compiled) -> float:
    memory = program.memory_analysis()
    return memory.temp_size_in_bytes / 1e6 if memory else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    for name, case in CASES.items():
        compiled = programs(case, given.steps)
        x = getattr(case.config, case.field)
        turns = {k: functools.partial(c, x) for k, c in compiled.items()}
        times = in_turns(turns, given.rounds)
        print(f"\n{name}, {given.steps} steps, by {case.field}")
        print(f"{'':10}{'us a step':>12}{'over the run':>14}{'memory, MB':>12}", end="")
        print(f"{'kernels':>10}{'slope':>14}")
        for k, rounds in times.items():
            cost = 1e6 * median(rounds).cpu / given.steps
            memory = megabytes(compiled[k])
            found = "" if k == "run" else f"{float(turns[k]()[1]):14.6g}"
            print(f"{k:10}{cost:12.2f}{cpu_ratio(rounds, times['run']):14.2f}", end="")
            print(f"{memory:12.2f}{kernels(compiled[k], given.steps):10}{found}")
    print_machine()


if __name__ == "__main__":
    main()
