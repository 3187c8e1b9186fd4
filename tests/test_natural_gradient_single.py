"""One synapse and two groups: published numbers, invariance, silent synapses."""

import dataclasses
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import xarray

from plasticity_jax.rules import natural_terms
from plasticity_jax.systems.natural_gradient.experiments import map as groups
from plasticity_jax.systems.natural_gradient.experiments.single import (
    learned,
    PRINTED_POSITION,
    PRINTED_VARIANCE,
    published_attenuation,
    published_variance,
)
from plasticity_jax.systems.natural_gradient.single_synapse import (
    legacy_spikes,
    neuron_of,
    ROUNDED_ENERGY,
    rule_of,
    SingleSynapse,
    StaleNeuron,
)
from plasticity_jax.systems.natural_gradient.single_theory import (
    heterosynaptic_boundary,
    heterosynaptic_ratio,
    variance_law,
)
from plasticity_jax.tasks import Spikes


KEY = jr.key(0)
FIG5 = SingleSynapse(learning_rate=1e-4, weight=0.01, target_rate=80.0, unit_mean=True)
GROUPS = groups.Groups()


# --- the published runs --------------------------------------------------------------


def test_legacy_spikes_are_those_of_two_calls_of_binomial():
    config = SingleSynapse(steps=3000, rate=50.0, target_rate=80.0)
    for seed, teacher_first in ((55, True), (999, False)):
        spikes = legacy_spikes(config, seed, teacher_first=teacher_first).stimuli
        generator = np.random.RandomState(seed)
        heard, taught = spikes.inputs[:, 0, 0], spikes.target
        trains = [(taught, 80.0), (heard, 50.0)]
        for train, rate in trains if teacher_first else trains[::-1]:
            assert np.array_equal(train, generator.binomial(1, rate * 5e-4, 3000))
        assert heard.sum() > 40


@eqx.filter_jit
def _position(config, place):
    here = dataclasses.replace(config, inverse_attenuation=place)
    return published_attenuation(here, KEY)


def test_the_published_change_of_figure_4_at_every_place():
    places = jnp.asarray([1.0, 3.0, 7.0])
    run = jax.vmap(lambda place: _position(SingleSynapse(), place))(places)
    assert np.allclose(run["published"], PRINTED_POSITION, rtol=0, atol=5e-6)
    start = run["published_weight"][:, 0]
    assert np.allclose(start, 0.05 * places, rtol=1e-15)


def test_the_published_changes_of_figure_5():
    @eqx.filter_jit
    def at(rate, time):
        config = dataclasses.replace(FIG5, rate=rate, synaptic_time=time)
        return published_variance(config, KEY)

    rates, times = jnp.asarray(list(PRINTED_VARIANCE), float).T
    run = jax.vmap(at)(rates, times / 1e3)
    numbers = np.asarray(list(PRINTED_VARIANCE.values()))
    assert np.max(np.abs(run["published"] - numbers)) <= 5e-4
    shared = 1 / (2 * (0.010 + times / 1e3) * rates)  # 1/(2 (tau_m + tau_s) r)
    assert np.allclose(run["variance"], shared, rtol=1e-13)


def test_the_stale_neuron_reads_old_potentials_and_present_weights():
    config = SingleSynapse(inverse_attenuation=2.0)
    neuron = neuron_of(config, refresh=0)
    stale = StaleNeuron(neuron, config.start, ROUNDED_ENERGY)
    activity = stale.start()._replace(potential=jnp.full(1, 20.0))
    stimulus = Spikes(jnp.zeros((1, 1)), jnp.ones(()))
    present = 3 * config.start
    _, signals = stale(activity, present, stimulus, KEY)
    kept = neuron.kernel.propagator(neuron.dt)[0] * 20.0
    assert np.isclose(signals.voltage, 0.05 * kept, rtol=1e-14)
    assert np.isclose(signals.weights[0], 0.15, rtol=1e-14)
    assert np.isclose(signals.moments.variance[0], 5 * 38.46, rtol=1e-14)
    assert np.isclose(signals.coefficients.variance, 0.05**2 * 5 * 38.46, rtol=1e-14)


# --- places and reliability ----------------------------------------------------------


@eqx.filter_jit
def _places(config, places):
    at = lambda place: learned(
        dataclasses.replace(config, inverse_attenuation=place), KEY
    )
    return jax.vmap(at)(places)


def test_relative_change_is_the_same_anywhere_and_euclidean_is_not():
    places = jnp.asarray([1.0, 3.0, 10.0])
    run = _places(SingleSynapse(steps=2000, target_rate=200.0), places)
    change = np.asarray(run["relative"])
    assert abs(change[0]) > 5
    assert np.max(np.abs(change - change[0])) <= 1e-12 * abs(change[0])
    ratio = run["absolute"] / (places * run["absolute"][0])
    assert np.allclose(ratio, 1.0, rtol=1e-12)
    small = _places(
        SingleSynapse(steps=2000, target_rate=200.0, euclidean_rate=1e-9), places
    )
    euclidean = np.asarray(small["relative_euclidean"] * places**2)
    assert np.allclose(euclidean, euclidean[0], rtol=1e-3)  # first order in the rate


def test_one_euclidean_step_scales_with_attenuation_squared():
    steps = []
    for place in (1.0, 4.0):
        config = SingleSynapse(inverse_attenuation=place)
        neuron = neuron_of(config, refresh=0)
        c = neuron.start(config.start).coefficients
        signals = neuron.signals(config.start, jnp.full(1, 30.0), jnp.ones(()), c)
        change = [
            rule_of(config, name)(config.start, signals, KEY)[0] / place
            for name in ("natural", "euclidean")
        ]
        steps.append(jnp.stack(change))
    assert np.allclose(steps[1] / steps[0], [1.0, 1 / 16], rtol=1e-13)


def test_a_zero_weight_drifts_by_the_law():
    for rate, time in ((10.0, 0.001), (50.0, 0.02)):
        config = dataclasses.replace(FIG5, rate=rate, synaptic_time=time)
        neuron, zero = neuron_of(config, refresh=0), jnp.zeros(1)
        spike = config.target_rate * config.step
        signals = neuron.signals(zero, jnp.ones(1), spike, neuron.coefficients(zero))
        drift = config.steps * rule_of(config, "natural")(zero, signals, KEY)[0]
        law = variance_law(neuron.transfer, neuron.moments.variance, 1e-4, 5.0, 80.0)
        assert np.allclose(drift, law, rtol=1e-12)


# --- silent synapses -----------------------------------------------------------------


def _signals(config, x):
    neuron = groups.neuron_of(config)
    weights = config.start
    return neuron.signals(weights, x, jnp.zeros(()), neuron.coefficients(weights))


POTENTIALS = jnp.asarray([31.0, 4.0, 0.5, 60.0, 12.0, 0.0, 0.0, 0.0, 0.0, 0.0])


@pytest.mark.parametrize("cell", [(1.0, 1.0), (2.5, 4.0), (5.0, 5.0)])
def test_first_steps_have_the_ratio_of_the_law(cell):
    config = groups.Groups(stimulated=cell[0], unstimulated=cell[1])
    signals = _signals(config, POTENTIALS)
    change = groups.rule_of(config)(config.start, signals, KEY)
    own, other = groups.by_group(config, change)
    neuron = groups.neuron_of(config)
    law = heterosynaptic_ratio(
        signals.coefficients,
        neuron.kernel,
        config.start[0],
        config.start[-1],
        jnp.sum(neuron.rates),
    )
    assert np.allclose(other / own, law, rtol=1e-12)


def test_silent_synapses_flip_at_the_boundary():
    printed = {3.0: 8.56, 3.5: 5.12, 4.0: 4.05, 4.5: 3.55, 5.0: 3.28}
    for own, number in printed.items():
        config = groups.Groups(stimulated=own, unstimulated=number)
        c = _signals(config, POTENTIALS).coefficients
        kernel = groups.neuron_of(config).kernel
        place = 10 * heterosynaptic_boundary(c, kernel, config.start[0])
        assert np.isclose(place, number, rtol=0, atol=0.0055)
        ratios = []
        for factor in (0.99, 1.01):
            near = groups.Groups(stimulated=own, unstimulated=factor * place)
            signals = _signals(near, POTENTIALS)
            change = groups.rule_of(near)(near.start, signals, KEY)
            ratios.append(float(change[-1] / jnp.mean(change[:5])))
        assert ratios[0] < 0 < ratios[1]


def test_silent_synapses_have_a_limit_and_no_homosynaptic_term():
    changes = []
    for floor in (1e-3, 1e-5, 1e-7):
        config = groups.Groups(stimulated=2.0, unstimulated=5.0, floor=floor)
        stray = POTENTIALS.at[-1].set(50.0)  # even a stray potential of theirs
        terms = natural_terms(_signals(config, stray))
        assert np.all(np.asarray(terms.homosynaptic[5:]) == 0.0)
        assert np.all(np.asarray(terms.homosynaptic[:5]) > 0.0)
        signals = _signals(config, POTENTIALS)
        changes.append(groups.rule_of(config)(config.start, signals, KEY))
    first, second = (
        np.max(np.abs(a - b) / np.abs(b)) for a, b in itertools.pairwise(changes)
    )
    assert first < 0.05
    assert second < first / 50  # linear in the floor


@pytest.mark.dear
def test_gradients_of_silent_synapses_are_finite():
    def change(config):
        signals = _signals(config, POTENTIALS)
        return jnp.sum(groups.rule_of(config)(config.start, signals, KEY))

    gradient = eqx.filter_grad(change)(groups.Groups(stimulated=2.0))
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(gradient))


def test_without_heterosynaptic_terms_silent_weights_stay():
    config = groups.Groups(stimulated=2.0, unstimulated=3.0, seconds=3)
    terms = config.terms
    config = dataclasses.replace(config, terms=("homosynaptic",))
    run = eqx.filter_jit(groups.learned)(config, KEY)
    assert np.allclose(run["course"][:, 0], [2.0, 3.0], rtol=1e-14)
    assert run["unstimulated_change"] == 0.0
    assert abs(run["stimulated_change"]) > 0.01
    whole = eqx.filter_jit(groups.learned)(
        dataclasses.replace(config, terms=terms), KEY
    )
    assert abs(whole["unstimulated_change"]) > 0.01


@pytest.mark.dear
def test_the_drift_has_the_regimes_and_the_balance_of_the_specification():
    config = dataclasses.replace(GROUPS, samples=20_000)
    potentials = eqx.filter_jit(groups.draw_potentials)(config, KEY)
    assert np.all(np.asarray(potentials[:, 5:]) == 0.0)
    cells = jnp.asarray([[1.0, 1.0], [1.6, 1.6], [1.87, 1.0], [2.5, 2.5], [4.5, 4.5]])

    @eqx.filter_jit
    def at(own, other):
        here = dataclasses.replace(config, stimulated=own, unstimulated=other)
        return groups.drift(potentials, here, KEY)

    map_ = jax.vmap(at)(*cells.T)
    own = map_["stimulated_drift"][jnp.asarray([0, 1, 3, 4])]
    other = map_["unstimulated_drift"][jnp.asarray([0, 1, 3, 4])]
    assert np.allclose(own, [5.41, 0.50, -0.59, -0.69], rtol=0.05, atol=0.06)
    assert np.allclose(other, [-12.6, -1.10, 0.64, -0.125], rtol=0.05, atol=0.06)
    assert abs(map_["stimulated_drift"][2]) < 0.06
    assert np.isclose(map_["predicted_output"][2], 11.1, atol=0.3)


# --- what claims measure -------------------------------------------------------------


def test_turning_points_are_interpolated():
    change = xarray.DataArray(
        [[2.0, 1.0, -3.0], [1.0, 1.0, 1.0]],
        {"stimulated": [1.0, 2.0, 4.0]},
        ("unstimulated", "stimulated"),
    )
    points = groups.turning_point(change)
    assert np.isclose(points[0], 2.5)
    assert np.isnan(points[1])


def test_shares_count_cells_of_their_regime_only():
    stimulated = xarray.DataArray([1.0, 1.9, 3.0, 5.0], dims="stimulated")
    coords = {"stimulated": stimulated.values, "unstimulated": [1.0, 5.0]}
    boundary = ("stimulated", [-1.0, -2.0, 8.6, 3.3])
    signs = np.asarray([[1, 1], [1, 1], [-1, -1], [-1, -1]], float)
    silent = np.asarray([[-1, -1], [1, 1], [1, 1], [1, -1]], float)
    shape = ("stimulated", "unstimulated", "seed")
    data = xarray.Dataset(
        {
            "stimulated_change": (shape, signs[..., None]),
            "unstimulated_change": (shape, silent[..., None]),
            "boundary": boundary,
        },
        coords,
    )
    assert [groups.share(data, name) for name in ("O1", "O2", "S")] == [1, 1, 1]
    data.unstimulated_change[3, 1] = 1.0
    assert [groups.share(data, name) for name in ("O1", "O2", "S")] == [1, 1, 0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SingleSynapse(rate=3000.0), "`rate` must lie in"),
        (lambda: SingleSynapse(inverse_attenuation=0.0), "`inverse_attenuation`"),
        (lambda: SingleSynapse(steps=1), "`steps` must be at least 2"),
        (lambda: groups.Groups(active=10), "`active` must lie in"),
        (lambda: groups.Groups(terms=("uniform", "other")), "`terms` must be some"),
        (lambda: groups.Groups(samples=10), "`samples` must be a multiple"),
        (lambda: groups.Groups(step=7e-4), "`seconds`"),
    ],
)
def test_bad_values_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
