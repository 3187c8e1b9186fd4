"""What does one step of learning cost a spiking neuron, and what bounds it?

Three students (Euclidean, natural, approximate) of one teacher with 100 inputs share
an input stream. The library's compiled batch in several variants and the same step in
NumPy, vectorised over trials, take turns in one process; `NumPy/this` is the median
over rounds of the ratio of CPU times per trial and step, to NumPy at as many trials.
Below stands the share of a step that each limit of the machine explains.
`OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 taskset -c 1 python benchmarks/spiking.py`.
"""

import dataclasses
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from limits import again, TIMES
from spiking_by_hand import numpy_run
from turns import cpu_ratio, in_turns, median, print_machine, Program

from plasticity_jax import simulate
from plasticity_jax._random import unrolled
from plasticity_jax._sweep import _lanes
from plasticity_jax.systems.natural_gradient.config import build, Config


TRIALS, MANY, FEW, ROUNDS, CHAIN = 64, 1024, 24, 5, 16
FINE = Config(seconds=1, record_seconds=1)
COARSE = dataclasses.replace(FINE, step=5e-3, substeps=10)
OFTEN = dataclasses.replace(FINE, refresh_seconds=FINE.step)
Observables = dict[str, jax.Array]


def learn(config: Config, key: jax.Array, half_words: bool = True) -> Observables:
    """How far each student has moved when the time is over."""
    for_build, for_run = jr.split(key)
    system, start = build(config, for_build)
    trains: Any = system.task
    task = dataclasses.replace(trains, half_words=half_words)
    system = dataclasses.replace(system, task=task)
    steps = round(config.seconds / config.step)
    end, _ = simulate(system, start, for_run, steps=steps, every=steps)
    return {
        name: jnp.linalg.norm(end.synapses[name] - start.synapses[name])
        for name in config.students
    }


def learn_from_words(config: Config, key: jax.Array) -> Observables:
    """`learn` with a whole random word for every input and bin."""
    return learn(config, key, half_words=False)


class Row(NamedTuple):
    """A variant of the step, and how many trials take it at once."""

    config: Config
    trials: int = TRIALS
    run: Callable[[Config, jax.Array], Observables] = learn

    @property
    def steps(self) -> int:
        return round(self.config.seconds / self.config.step)


def alone(student: str) -> Config:
    return dataclasses.replace(FINE, students=(student,))


ROWS = {
    "three rules": Row(FINE),
    f"- {MANY} trials": Row(FINE, MANY),
    f"- {FEW} trials": Row(FINE, FEW),
    "- refresh every step": Row(OFTEN),
    "- 32 bits a spike": Row(FINE, run=learn_from_words),
    **{f"{student} alone": Row(alone(student)) for student in FINE.students},
    "5 ms, 10 substeps": Row(COARSE),
    "5 ms, 32 bits a spike": Row(COARSE, run=learn_from_words),
}


def in_rows() -> tuple[dict[str, float], dict[str, int]]:
    """Print the rows; CPU seconds and kernels of each per step."""
    keys = jr.split(jr.key(0), MANY)
    by_hand = {n: f"NumPy, {n} trials" for n in (TRIALS, MANY)}
    programs: dict[str, Program] = {
        name: numpy_run(FINE, keys[:n]) for n, name in by_hand.items()
    }
    work = {name: n * Row(FINE).steps for n, name in by_hand.items()}
    notes, kernels = {}, {}
    for name, row in ROWS.items():
        lanes = _lanes.Lanes.of(row.run, row.config, [], keys[: row.trials])
        memory, batch = lanes.compile(row.trials), lanes.batch(np.arange(row.trials))
        programs[name] = lambda batch=batch: _lanes.map_lanes(*batch)
        work[name] = row.trials * row.steps
        kernels[name] = kernels_in_loop(lanes.programs[row.trials].compiled.as_text())
        notes[name] = f"{lanes.compile_seconds:12.1f}{memory >> 10:13}"
    for way in (by_hand[MANY], f"- {MANY} trials"):
        moved = programs[way]()
        means = (f"{k} {1e3 * np.mean(moved[k]):.3f}" for k in FINE.students)
        print(f"{way}: 10^3 x distance moved in {FINE.seconds} s: {', '.join(means)}")
    print(
        f"\n{'us per trial and step':24}{'wall':>8}{'CPU':>8}{'NumPy/this':>12}", end=""
    )
    print(f"{'compile, s':>12}{'memory, KiB':>13}{'kernels':>9}")
    times = in_turns(programs, ROUNDS)
    for name, rounds in times.items():
        wall, cpu = (1e6 * t / work[name] for t in median(rounds))
        print(f"{name:24}{wall:8.3f}{cpu:8.3f}", end="")
        if name in ROWS:
            row, ratio = ROWS[name], ""
            if row.config is FINE and row.trials in by_hand:
                slow = by_hand[row.trials]
                relative = cpu_ratio(times[slow], rounds) * work[name] / work[slow]
                ratio = f"{relative:.1f}"
            print(f"{ratio:>12}{notes[name]}{kernels[name]:9}", end="")
        print()
    return {k: median(t).cpu / work[k] for k, t in times.items()}, kernels


def kernels_in_loop(text: str) -> int:
    """Kernels that the innermost compiled step launches: of the longest loop body."""
    launched = re.compile(
        r" (fusion|dot|copy|concatenate|reduce|conditional|custom-call)\("
    )
    bodies = set(re.findall(r"body=%?([\w.-]+)", text))
    blocks = {b.split(" ", 1)[0].lstrip("%"): b for b in text.split("\n\n")}
    return max(len(launched.findall(blocks[body])) for body in bodies)


# --- what bounds it -------------------------------------------------------------------


def words_of_a_step(count: int) -> Program:
    """As many random words for each trial, added up."""
    keys = unrolled(jr.split(jr.key(0), TRIALS))
    draw = jax.vmap(lambda key, i: jr.bits(jr.fold_in(key, i), (count,)), (0, None))
    return again(lambda i, x: x + draw(keys, i), np.zeros((TRIALS, count), np.uint32))


def multiply_adds(rows: int, columns: int) -> Program:
    """One multiplication and addition of every entry."""
    y = jnp.ones((rows, columns))
    return again(lambda _, x: 0.9 * x + y, np.ones((rows, columns), np.float32))


def small_kernels(count: int) -> Program:
    """Products that are as good as no work and that XLA does not fuse."""
    matrix = jnp.eye(4)

    def chain(_: Any, x: jax.Array) -> jax.Array:
        for _ in range(count):
            x = matrix @ x
        return x

    return again(chain, np.ones(4, np.float32))


def limits(config: Config) -> dict[str, float]:
    """Seconds for each kind of work, on arrays shaped like those of the step."""
    words = config.substeps * config.size // 2
    arrays = 8  # as many as a step goes through: not in L1
    programs = {
        "word": words_of_a_step(words),
        "entries": multiply_adds(arrays * TRIALS, config.size),
        "logistic": again(lambda _, x: jax.nn.sigmoid(x), np.ones(TRIALS, np.float32)),
        "kernels": small_kernels(CHAIN),
        "kernel": small_kernels(1),
    }
    cpu = {k: median(t).cpu / TIMES for k, t in in_turns(programs, ROUNDS).items()}
    return {
        "random word": cpu["word"] / (TRIALS * words),
        "entry passed": cpu["entries"] / (arrays * TRIALS * config.size),
        "logistic": (cpu["logistic"] - cpu["kernel"]) / TRIALS,
        "kernel launched": (cpu["kernels"] - cpu["kernel"]) / (CHAIN - 1),
    }


def work_of(row: Row, kernels: int) -> dict[str, float]:
    """What a step asks of each limit, per trial.

    Words: a half or a whole one for every input and bin; twelve for keys, one for the
    teacher. Passes: current and potential in every bin and a copy; a product and an
    update for every student, a product for the teacher. Logistic functions: rate and
    score of every student, rate of the teacher.
    """
    config, students = row.config, len(row.config.students)
    words = config.size * config.substeps * (1 if row.run is learn_from_words else 0.5)
    return {
        "random word": words + 13,
        "entry passed": config.size * (2 * config.substeps + 2 + 2 * students),
        "logistic": 2 * students + 1,
        "kernel launched": kernels / row.trials,
    }


def main() -> None:
    for students in (FINE.students[:1], FINE.students):
        _, state = build(dataclasses.replace(FINE, students=students), jr.key(0))
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        print(f"state of a trial, {len(students)} students: {size} bytes")
    cost, kernels = in_rows()
    for config in (FINE, COARSE):
        each = limits(config)
        print("\n" + ", ".join(f"{k} {1e9 * s:.2f} ns" for k, s in each.items()))
        print(
            f"{'share of the CPU time':24}"
            + "".join(f"{k:>18}" for k in (*each, "sum"))
        )
        for name, row in ROWS.items():
            if row.config.substeps == config.substeps:
                work = work_of(row, kernels[name])
                shares = [work[k] * each[k] / cost[name] for k in each]
                print(
                    f"{name:24}" + "".join(f"{s:18.0%}" for s in (*shares, sum(shares)))
                )
    print_machine()


if __name__ == "__main__":
    main()
