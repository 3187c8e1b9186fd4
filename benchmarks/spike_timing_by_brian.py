"""The network of `spike_timing.py` in Brian2, run once for every line that comes in.

It answers with the CPU seconds of the steps, the rate (Hz) and the mean weight at the
end. `cython` or `standalone` (C++, compiled before it says so); traces stand on the
`synapses`, as in Brian2's own example, or on the `neurons`, where they are shared. Give
it an environment of its own: `python -m venv brian; brian/bin/pip install brian2`.
"""

import sys
import tempfile
import time
from pathlib import Path

import brian2 as b  # pyright: ignore[reportMissingImports]


NEURON = "dv/dt = (I - v)/(20*ms) : 1 (unless refractory)\ndI/dt = -I/(5*ms) : 1"
FIRES = {"threshold": "v >= 20", "refractory": 3 * b.ms, "method": "exact"}
CLOCK = "std::clock_t began = std::clock();"
TOLD = 'std::ofstream("cpu") << double(std::clock() - began) / CLOCKS_PER_SEC;'


def network(place: str) -> tuple[b.Network, b.Synapses, b.SpikeMonitor]:
    """500 Poisson inputs on 100 neurons, all to all."""
    down, up = "w = clip(w - 0.00525*{}, 0, 1)", "w = clip(w + 0.005*{}, 0, 1)"
    if place == "synapses":
        inputs = b.PoissonGroup(500, 20 * b.Hz)
        neurons = b.NeuronGroup(100, NEURON, reset="v = 10", **FIRES)
        fade = "d{0}/dt = -{0}/(20*ms) : 1 (event-driven)"
        synapses = b.Synapses(
            inputs,
            neurons,
            "\n".join(["w : 1", fade.format("x"), fade.format("y")]),
            on_pre="\n".join(["I_post += 0.8*w", "x += 1", down.format("y")]),
            on_post="\n".join([up.format("x"), "y += 1"]),
        )
    else:
        fade = "dz/dt = -z/(20*ms) : 1"
        drawn = {"threshold": "rand() < 20*Hz*dt", "method": "exact"}
        inputs = b.NeuronGroup(500, fade, reset="z += 1", **drawn)
        inputs.resetter["spike"].when = "before_synapses"  # so that pairs at once count
        both = f"{NEURON}\n{fade}"
        neurons = b.NeuronGroup(100, both, reset="v = 10\nz += 1", **FIRES)
        act = "\n".join(["I_post += 0.8*w", down.format("z_post")])
        synapses = b.Synapses(
            inputs, neurons, "w : 1", on_pre=act, on_post=up.format("z_pre")
        )
    synapses.connect()
    synapses.w = "rand()"
    spikes = b.SpikeMonitor(neurons, record=False)
    return b.Network(inputs, neurons, synapses, spikes), synapses, spikes


def main(folder: str, way: str, place: str, seconds: float) -> None:
    if way == "standalone":
        b.set_device("cpp_standalone", build_on_run=False, directory=folder)
        b.device.insert_code("before_network_run", CLOCK)
        b.device.insert_code("after_network_run", TOLD)
    else:
        b.prefs.codegen.target = "cython"
    b.defaultclock.dt = 1 * b.ms
    net, synapses, spikes = network(place)
    if way == "standalone":
        net.run(seconds * b.second)
        b.device.build(directory=folder, compile=True, run=False)
    else:
        net.run(0 * b.ms)
        net.store()
        net.run(seconds * b.second)  # compiles
    print("compiled", flush=True)
    for _ in sys.stdin:
        if way == "standalone":
            b.device.run(folder, with_output=False, run_args=[])
            cpu = float(next(Path(folder).rglob("cpu")).read_text())
        else:
            net.restore()
            began = time.process_time()
            net.run(seconds * b.second)
            cpu = time.process_time() - began
        rate = spikes.num_spikes / 100 / seconds
        print(cpu, rate, float(b.mean(synapses.w[:])), flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as compiled:
        main(compiled, sys.argv[1], sys.argv[2], float(sys.argv[3]))
