"""What does a person wait for at the command line?

CPU seconds (user and system) of whole commands, each in a process of its own: the
README's main job and its smoke preset, cold (an empty cache folder) and warm (the same
command once more), and `verify` of each system, cold. Medians over `--repeat`, beside
what was asked for. Below them what bounds a run, from differences of these: imports by
a process that does no more; tracing and drawing, as a warm smoke run hardly computes;
XLA, cold over warm; computing, the main job over the smoke preset, both warm.
`OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/at_once.py`.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from turns import print_machine

from plasticity_jax import systems


JOB = ("run", "optimal_plasticity.fig5")
SMOKE = (*JOB, "--preset", "smoke")
IMPORTS = "import plasticity_jax.systems.optimal_plasticity.experiments"
ASKED = {"smoke, cold": 20, "smoke, warm": 6, "main job, cold": 30}
VERIFY = 40


def spent(arguments: Sequence[str], home: str) -> float:
    """CPU seconds of a Python that keeps its programs and results under `home`."""
    environment = {**os.environ, "XDG_CACHE_HOME": home}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, *arguments], cwd=home, env=environment, capture_output=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 1):  # 1: a claim does not hold, as many at smoke
        raise RuntimeError(f"{arguments}: {done.stderr.decode()}")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def calls(command: Sequence[str], count: int) -> list[float]:
    """CPU seconds of the command `count` times over, from an empty cache folder."""
    with tempfile.TemporaryDirectory() as home:
        return [spent(("-m", "plasticity_jax", *command), home) for _ in range(count)]


def once() -> dict[str, float]:
    """CPU seconds of everything."""
    with tempfile.TemporaryDirectory() as home:
        found = {"imports": spent(("-c", IMPORTS), home)}
    for name, command in {"smoke": SMOKE, "main job": JOB}.items():
        found[f"{name}, cold"], found[f"{name}, warm"] = calls(command, 2)
    for name in systems.names():
        found[f"verify {name}, cold"] = calls(("verify", name), 1)[0]
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=3)
    rounds = [once() for _ in range(parser.parse_args().repeat)]
    found = {name: statistics.median(x[name] for x in rounds) for name in rounds[0]}
    for name, seconds in found.items():
        asked = ASKED.get(name, VERIFY if name.startswith("verify") else None)
        beside = "" if asked is None else f", asked {asked}"
        print(f"{name:42}{seconds:7.1f} s CPU{beside}")
    smoke, job = found["smoke, warm"], found["main job, warm"]
    parts = {
        "imports": found["imports"],
        "tracing and drawing": smoke - found["imports"],
        "XLA": found["main job, cold"] - job,
        "computing": job - smoke,
    }
    told = ", ".join(f"{name} {seconds:.1f}" for name, seconds in parts.items())
    print(f"the main job's parts: {told}")
    print_machine()


if __name__ == "__main__":
    main()
