"""What does a step of a spiking network that learns cost, and what bounds it?

500 Poisson inputs at 20 Hz, all to all on 100 leaky neurons, additive spike timing on
all 50,000 synapses, steps of 1 ms, 10 s. With a Python that has Brian2 as an argument
(`python -m venv brian; brian/bin/pip install brian2`, and a C++ compiler) the same
network in Brian2 takes turns with it: C++ standalone and Cython, its traces at the
synapses, as in its own example, or at the neurons. CPU times are without compilation
and of one core; their ratios are medians over rounds, with least and most. An event is
a spike that reaches a synapse, from either side. Below stand the parts of a step alone,
and a layer that learns by Hebb's rule.
`OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 taskset -c 1 python benchmarks/spike_timing.py
brian/bin/python`.
"""

import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from limits import again, TIMES
from turns import in_turns, median, print_machine, Program, spent

from plasticity_jax import simulate, State, System
from plasticity_jax._random import unrolled
from plasticity_jax.circuits import Layer, LeakyNetwork
from plasticity_jax.rules import Hebb, STDP
from plasticity_jax.synapses import Bounded
from plasticity_jax.tasks import Constant, Drawn, spike_counts


INPUTS, NEURONS, SECONDS, ROUNDS = 500, 100, 10, 7
SYNAPSES, STRENGTH = INPUTS * NEURONS, 0.8  # mV of a weight of 1
STEPS = 1000 * SECONDS
THIS = {  # networks, of which at once, for so many steps
    "this, 1 network": (1, 1, STEPS),
    "this, 8 vmapped": (8, 8, 1000),
    "this, 64 vmapped": (64, 64, 1000),
    "this, 64, 2 at once": (64, 2, 1000),  # as many as a sweep chooses here
}
BRIAN = {
    "C++, synapses": ("standalone", "synapses"),
    "C++, neurons": ("standalone", "neurons"),
    "Cython, synapses": ("cython", "synapses"),
}


def poisson(key: jax.Array) -> jax.Array:
    """The inputs of a step, at most one spike of each."""
    return spike_counts(key, jnp.full(INPUTS, 0.02), (INPUTS,), "bernoulli", 16)


def counted(state: State, signals: Any, changes: Any) -> jax.Array:
    """Spikes of inputs and of neurons."""
    return jnp.stack([jnp.sum(signals.pre), jnp.sum(signals.post)])


def learn(key: jax.Array, steps: int, **more: Any) -> tuple[jax.Array, Any]:
    """Weights from 0 to 1 at the end of a run, and its records."""
    for_weights, for_run = jr.split(key)
    rule = STDP(STRENGTH * 0.005, STRENGTH * 0.00525, most=STRENGTH)
    bounds = (Bounded(0.0, STRENGTH),)
    system = System(Drawn(poisson), LeakyNetwork(), {"stdp": rule}, bounds)
    weights = STRENGTH * jr.uniform(for_weights, (NEURONS, INPUTS))
    start = system.start(weights, for_run)
    end, seen = simulate(system, start, for_run, steps=steps, **more)
    return jnp.mean(end.synapses) / STRENGTH, seen


def networks(lanes: int, at_once: int, steps: int) -> Program:
    """So many networks, some of them at once."""
    keys = jr.split(jr.key(0), lanes)

    @jax.jit
    def together(keys: jax.Array) -> Any:
        run = lambda key: learn(key, steps)
        if lanes == 1:
            return run(keys[0])
        return jax.lax.map(run, keys, batch_size=at_once)

    return lambda: together(keys)


class Brian:
    """Brian2 in a process of its own, which runs its network when asked."""

    def __init__(self, python: str, way: str, place: str) -> None:
        script = Path(__file__).with_name("spike_timing_by_brian.py")
        command = [python, str(script), way, place, str(SECONDS)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, text=True, **pipes)
        self.ask = self.process.stdin
        self.answer = self.process.stdout
        if not self.ask or not self.answer or "compiled" not in self.answer.readline():
            raise RuntimeError(f"{python} cannot run Brian2 {way}.")

    def run(self) -> tuple[float, ...]:
        """CPU seconds, rate (Hz), mean weight."""
        print(file=self.ask, flush=True)
        return tuple(map(float, self.answer.readline().split()))  # pyright: ignore[reportOptionalMemberAccess]


def in_rows(python: str | None) -> float:
    """Print the rows; least CPU seconds per network and step."""
    counts = jax.jit(lambda key: learn(key, STEPS, record=counted))
    mean, spikes = counts(jr.key(0))
    pre, post = np.asarray(jnp.sum(spikes, axis=0))
    events = NEURONS * pre + INPUTS * post
    found = {"this": (post / NEURONS / SECONDS, float(mean))}
    ours = {name: networks(*numbers) for name, numbers in THIS.items()}
    brians = {k: Brian(python, *v) for k, v in BRIAN.items()} if python else {}
    times: dict[str, list[float]] = {name: [] for name in (*ours, *brians)}
    for program in ours.values():
        spent(program)
    for _ in range(ROUNDS):
        for name, program in ours.items():
            lanes, _, steps = THIS[name]
            times[name].append(spent(program).cpu / lanes / steps)
        for name, brian in brians.items():
            cpu, *says = brian.run()
            times[name].append(cpu / STEPS)
            found[name] = (says[0], says[1])
    for name, (rate, weight) in found.items():
        print(f"{name:26} {rate:6.2f} Hz, mean weight {weight:.4f}")
    print(f"\n{'per network and step':26}{'us':>8}{'10^6 events/s':>15}", end="")
    print(f"{'10^9 synapses/s':>17}   ", end="")
    print("".join(f"{name + '/this':26}" for name in brians))
    for name, rounds in times.items():
        cpu = statistics.median(rounds)
        rate = events / STEPS / cpu
        print(f"{name:26}{1e6 * cpu:8.2f}{rate / 1e6:15.0f}", end="")
        print(f"{SYNAPSES / cpu / 1e9:17.2f}", end="   ")
        for other in brians if name in ours else ():
            ratios = [a / b for a, b in zip(times[other], rounds, strict=True)]
            between = f"({min(ratios):.2f} to {max(ratios):.2f})"
            print(f"{statistics.median(ratios):8.2f} {between:16}", end="")
        print()
    return min(statistics.median(times[name]) for name in ours)


# --- what bounds it -------------------------------------------------------------------


def bounds() -> dict[str, float]:
    """Seconds for each part of a step of one network, alone."""
    key, chance = unrolled(jr.key(0)), jnp.full(INPUTS, 0.02)
    weights, ones = np.ones((NEURONS, INPUTS), np.float32), np.ones(INPUTS, np.float32)

    def draw(i: Any, x: jax.Array) -> jax.Array:
        key_of_step = jr.fold_in(key, i)
        return x + spike_counts(key_of_step, chance, (INPUTS,), "bernoulli", 16)

    def product(_: Any, state: tuple[jax.Array, jax.Array]) -> Any:
        w, x = state
        return w, jnp.pad(1e-3 * (w @ x), (0, INPUTS - NEURONS))

    programs = {
        "spikes drawn": again(draw, ones),
        "weights read: a product": again(product, (weights, ones)),
        "weights read and written": again(lambda _, w: 0.999 * w, weights),
    }
    times = in_turns(programs, ROUNDS)
    return {name: median(rounds).cpu / TIMES for name, rounds in times.items()}


def hebb(size: int) -> tuple[float, float]:
    """Synapses per second of a layer that learns, and of reading and changing alone."""
    steps, weights = int(1e8) // size**2, np.ones((size, size), np.float32) / size
    system = System(Constant(jnp.ones(size)), Layer(), {"hebb": Hebb(1e-6)})
    start = system.start(jnp.asarray(weights), jr.key(0))
    product = lambda _, state: (state[0], state[0] @ state[1])
    programs = {
        "all": lambda: simulate(system, start, jr.key(0), steps=steps, every=steps),
        "read": again(product, (weights, np.ones(size, np.float32))),
        "changed": again(lambda _, w: 0.999 * w, weights),
    }
    times = {name: median(t).cpu for name, t in in_turns(programs, ROUNDS).items()}
    alone = (times["read"] + times["changed"]) / TIMES
    return steps * size**2 / times["all"], size**2 / alone


def main() -> None:
    cost = in_rows(sys.argv[1] if len(sys.argv) > 1 else None)
    alone = bounds()
    print(f"\n{'each part alone':26}{'us':>8}{'of a step':>11}")
    for name, seconds in alone.items():
        print(f"{name:26}{1e6 * seconds:8.2f}{seconds / cost:11.0%}")
    print(f"{'all':26}{1e6 * sum(alone.values()):8.2f}", end="")
    print(f"{sum(alone.values()) / cost:11.0%}")
    print(
        f"\n{'a layer and Hebb':26}{'10^9 synapses/s':>17}{'read and change alone':>23}"
    )
    for size in (256, 1000):
        rate, most = hebb(size)
        print(f"{f'{size} x {size}':26}{rate / 1e9:17.1f}{most / 1e9:23.1f}")
    print_machine()


if __name__ == "__main__":
    main()
