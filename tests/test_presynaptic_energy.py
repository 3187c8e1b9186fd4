"""Energy, importance and sparsity of networks that release (Figures 1, 2 and 3)."""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import xarray
from scipy.stats import ks_2samp, spearmanr

from plasticity_jax.measure._sparsity import (
    important_counts,
    kolmogorov_smirnov,
    rank_correlation,
    shuffled_counts,
)
from plasticity_jax.synapses._release import Stochastic, uniform_probability
from plasticity_jax.systems.presynaptic_stochasticity.config import (
    Config,
    network_of,
    Source,
)
from plasticity_jax.systems.presynaptic_stochasticity.experiments import (
    importance,
    sparsity,
)
from plasticity_jax.systems.presynaptic_stochasticity.experiments.energy import (
    compared,
    EnergyConfig,
    images_settled,
)
from plasticity_jax.systems.presynaptic_stochasticity.experiments.energy_search import (
    cheapest,
    images_settled_at_least,
    SearchConfig,
)
from plasticity_jax.systems.presynaptic_stochasticity.experiments.sparsity import (
    unusual,
)
from plasticity_jax.systems.presynaptic_stochasticity.trained import (
    accuracy,
    energy,
    fisher,
    flat,
    information,
    neuronal_energy,
    probabilities,
    strengths,
    train,
    Trained,
    with_probability,
)
from plasticity_jax.systems.presynaptic_stochasticity.trained import (
    test_set as images_and_labels,
)


SETTINGS = {"protocol": "single", "freeze": 1.0, "modulated": False}
SIZES = {"hidden": (6, 5), "batch": 10, "epochs": 4, "votes": 3}
SMALL = Config(rate=0.05, **SETTINGS, **SIZES)


def source(pixels=9, train_images=50, test_images=20):
    """Random images of ten classes: the brightness of a pixel tells the class."""
    draw = np.random.default_rng(0)
    image = lambda n: jnp.asarray(draw.integers(0, 17, (n, pixels)), jnp.uint8)
    label = lambda n: jnp.asarray(np.arange(n) % 10, jnp.int32)
    return Source(
        *(image(train_images), label(train_images)),
        *(image(test_images), label(test_images)),
        5 * (jnp.asarray([0, 1], jnp.int32),),
    )


DATA = source()


def untrained(config=SMALL, data=DATA):
    """A network with random probabilities between `low` and 1."""
    weights, rest = network_of(config, data.train_images.shape[1], jr.key(1))
    if not config.releases:
        return Trained(config, data, rest, weights)
    leaves, shape = jax.tree.flatten(weights)
    keys = jr.split(jr.key(2), len(leaves))
    drawn = [
        jr.uniform(k, w.shape, w.dtype, 0.25, 1.0)
        for k, w in zip(keys, leaves, strict=True)
    ]
    synapses = Stochastic(weights, jax.tree.unflatten(shape, drawn))
    return Trained(config, data, rest, synapses)


def reliable(network):
    return with_probability(network, uniform_probability(probabilities(network), 1.0))


# --- measures -------------------------------------------------------------------------


def test_counts_are_shares_of_rows_and_columns():
    important = jnp.array([[True, False, False, True], [False, False, False, True]])
    counts = important_counts(important)
    assert jnp.array_equal(counts.inputs, jnp.array([0.5, 0.25]))
    assert jnp.array_equal(counts.outputs, jnp.array([0.5, 0.0, 0.0, 1.0]))


def test_shuffling_keeps_the_number_and_spreads_as_chance_does():
    important = jnp.arange(400).reshape(20, 20) < 100  # five full rows
    keys = jr.split(jr.key(0), 400)
    counts = jax.vmap(lambda key: shuffled_counts(important, key))(keys)
    assert jnp.allclose(jnp.mean(counts.inputs, axis=1), 0.25, rtol=1e-12)
    squared = jnp.mean((counts.inputs - 0.25) ** 2, axis=1)
    law = 0.25 * 0.75 / 20 * (400 - 20) / 399  # hypergeometric
    error = jnp.std(squared) / len(keys) ** 0.5
    assert jnp.abs(jnp.mean(squared) - law) < 4 * error
    assert error < 0.05 * law


@pytest.mark.parametrize("levels", [3, 1000])
def test_rank_correlation_is_that_of_scipy_with_and_without_ties(levels):
    x = jr.randint(jr.key(0), (200,), 0, levels).astype(float)
    y = x + jr.randint(jr.key(1), (200,), 0, levels).astype(float)
    assert jnp.allclose(rank_correlation(x, y), spearmanr(x, y).statistic, rtol=1e-12)
    assert jnp.isnan(rank_correlation(x, jnp.ones_like(x)))


def test_rank_correlation_of_many_ties_survives_single_precision():
    x = jnp.maximum(jr.normal(jr.key(0), (20_000,)), 0.0)
    y = x + jr.normal(jr.key(1), (20_000,))
    single = rank_correlation(x.astype(jnp.float32), y.astype(jnp.float32))
    assert jnp.allclose(single.astype(float), rank_correlation(x, y), atol=1e-4)


def test_kolmogorov_smirnov_distance_by_hand_and_nan():
    first, second = np.array([0.0, 0.1, 0.2, 0.9]), np.array([0.15, 0.8, 0.85, 0.95])
    distance, chance = kolmogorov_smirnov(first, second)
    assert distance == 0.5  # at 0.2: three of four against one
    assert chance == ks_2samp(first, second).pvalue
    assert np.all(np.isnan(kolmogorov_smirnov(first, np.array([np.nan, 1.0]))))


# --- readouts -------------------------------------------------------------------------


def test_with_certain_release_all_readouts_are_those_of_the_deterministic_network():
    config = dataclasses.replace(SMALL, method="deterministic")
    network, plain = reliable(untrained()), untrained(config)
    key = jr.key(5)
    assert jnp.array_equal(flat(strengths(network)), flat(strengths(plain)))
    assert jnp.all(flat(probabilities(plain)) == 1)
    read = jax.jit(
        lambda n: [f(n, key) for f in (information, neuronal_energy, accuracy)]
    )
    for got, want in zip(read(network), read(plain), strict=True):
        assert jnp.allclose(got, want, rtol=1e-12)


def test_energy_does_not_depend_on_the_parametrisation():
    network = untrained()
    released = jax.tree.map(
        jnp.divide, network.synapses.strength, network.synapses.probability
    )
    config = dataclasses.replace(SMALL, normalised=False)
    other = network._replace(
        config=config, synapses=Stochastic(released, network.synapses.probability)
    )
    total = sum(jnp.sum(jnp.abs(w)) for w in jax.tree.leaves(network.synapses.strength))
    assert jnp.allclose(energy(network), total, rtol=1e-12)
    assert jnp.allclose(energy(other), total, rtol=1e-12)


def test_trained_biases_cost_no_energy():
    config = dataclasses.replace(SMALL, method="deterministic", bias="trained")
    network = untrained(config)
    total = sum(jnp.sum(jnp.abs(w)) for w in network.synapses.weights)
    assert jnp.allclose(energy(network), total, rtol=1e-12)


def test_neuronal_energy_of_a_deterministic_network_by_hand():
    network = untrained(dataclasses.replace(SMALL, method="deterministic"))
    images, _ = images_and_labels(network)
    first, second, _ = network.synapses.weights
    one = jnp.maximum(images @ first.T, 0.0)
    two = jnp.maximum(one @ second.T, 0.0)
    want = (jnp.sum(one) + jnp.sum(two)) / len(images)
    assert jnp.allclose(neuronal_energy(network, jr.key(0)), want, rtol=1e-12)


def test_fisher_is_that_of_squared_scores_of_the_mean_network():
    network = untrained()
    images, labels = images_and_labels(network)
    matrices = jax.tree.leaves(network.synapses.strength)
    logits = lambda ws, x: ws[2] @ jnp.maximum(ws[1] @ jnp.maximum(ws[0] @ x, 0.0), 0.0)
    log_prob = lambda ws, x, y: jax.nn.log_softmax(logits(ws, x))[y]
    score = lambda x, y: flat(jax.grad(log_prob)(matrices, x, y))
    pairs = jax.jit(
        lambda x: jax.vmap(lambda x: jax.vmap(lambda y: score(x, y))(jnp.arange(10)))(x)
    )
    every = pairs(images)
    empirical = jnp.mean(every[jnp.arange(len(labels)), labels] ** 2, axis=0)
    chance = jax.nn.softmax(jax.vmap(lambda x: logits(matrices, x))(images))
    exact = jnp.mean(jnp.sum(chance[..., None] * every**2, axis=1), axis=0)
    for kind, want in (("empirical", empirical), ("exact", exact)):
        got = jax.jit(lambda n, kind=kind: fisher(n, kind))(network)
        assert jnp.allclose(got, want, rtol=1e-9, atol=1e-12 * jnp.max(want))


def test_another_protocol_is_an_error():
    with pytest.raises(ValueError, match="`protocol` must be 'single'; got 'split'"):
        train(dataclasses.replace(SMALL, protocol="split"), DATA, jr.key(0))


# --- experiments ----------------------------------------------------------------------


def test_lesions_silence_the_least_important_share_of_all_layers_together():
    network = untrained()
    w = jnp.abs(flat(strengths(network)))
    left = importance.lesioned(network, w, jnp.asarray(0.3))
    gone = flat(strengths(left)) == 0
    count = int(jnp.ceil(0.3 * len(w)))
    assert int(jnp.sum(gone)) == count
    assert jnp.max(w[gone]) < jnp.min(w[~gone])
    assert jnp.array_equal(flat(probabilities(left)), flat(probabilities(network)))


def test_orders_of_importance_follow_their_names():
    network = untrained()
    found = importance.importance(network, jr.key(3))
    p, w = flat(probabilities(network)), jnp.abs(flat(strengths(network)))
    for name, want in (("probability", p), ("strength", w), ("product", p * w)):
        got = getattr(found, name)
        assert jnp.max(jnp.abs(got - want)) <= importance.JITTER
        assert len(jnp.unique(got - want)) > 0.9 * len(p)
    assert jnp.abs(rank_correlation(found.random, p)) < 4 / len(p) ** 0.5
    assert found._fields == importance.ORDERS


def test_accuracies_of_altered_networks_come_in_their_places():
    network = untrained()
    test = jax.jit(accuracy)
    found = jax.jit(importance.accuracies)(network, jr.key(4))
    for_order, for_test = jr.split(jr.key(4))
    orders = importance.importance(network, for_order)
    half = importance.lesioned(network, orders.strength, jnp.asarray(0.5))
    level = uniform_probability(probabilities(network), 0.3)
    assert found["accuracy"] == test(network, for_test)
    assert found["lesion"][1, 4] == test(half, for_test)
    assert found["clamp"][2] == test(with_probability(network, level), for_test)
    assert found["lesion"].shape == (4, 9)


def test_levels_of_known_probabilities():
    network = untrained()
    values = jnp.array([0.25, 0.5, 0.95, 1.0])
    network = with_probability(
        network,
        jax.tree.map(lambda p: jnp.resize(values, p.shape), probabilities(network)),
    )
    p = flat(probabilities(network))
    found = importance.levels(network)
    assert jnp.allclose(found["high"], jnp.mean((p >= 0.9).astype(float)))
    assert jnp.allclose(found["floor"], jnp.mean((p == 0.25).astype(float)))
    assert jnp.allclose(found["between"], jnp.mean((p == 0.5).astype(float)))
    assert jnp.allclose(jnp.sum(found["share"]), 1.0, rtol=1e-12)
    assert jnp.allclose(found["share"][-1], jnp.mean((p > 0.99).astype(float)))


def test_information_of_reliable_synapses_is_that_of_numpy(monkeypatch):
    network, draw = untrained(), np.random.default_rng(0)
    drawn = lambda p: jnp.asarray(draw.choice([0.3, 0.6, 0.9, 1.0], p.shape))
    network = with_probability(network, jax.tree.map(drawn, probabilities(network)))
    p = np.asarray(flat(probabilities(network)))
    information = {kind: draw.exponential(size=p.shape) for kind in importance.KINDS}
    known = lambda _, kind: jnp.asarray(information[kind])
    monkeypatch.setattr(importance, "fisher", known)
    found = importance.curvatures(network, jr.key(0))
    for k, f in enumerate(information.values()):
        parts = f[p >= 0.9], f[p < 0.9]
        for name, middle in (("ratio", np.mean), ("median_ratio", np.median)):
            high, low = map(middle, parts)
            assert np.isclose(found[f"fisher_{name}"][k], high / low, rtol=1e-12)
        correlation = np.corrcoef(f, p)[0, 1]
        assert np.isclose(found["fisher_correlation"][k], correlation, rtol=1e-10)
        assert np.isclose(found["fisher_rank"][k], spearmanr(f, p)[0], rtol=1e-10)
    information["exact"][0] = np.nan
    found = importance.curvatures(network, jr.key(0))
    assert np.isnan(found["fisher_median_ratio"]).tolist() == [False, True]


@pytest.mark.dear
def test_models_differ_only_in_release_and_rate():
    """Without plasticity, with release 1 everywhere, both are plain descent."""
    config = EnergyConfig(
        **SETTINGS,
        **SIZES,
        rate=0.05,
        deterministic_rate=0.05,
        decay=0.01,
        up=0.0,
        down=0.0,
        low=1.0,
    )
    run = jax.jit(
        lambda c, key: compared(("presynaptic", "deterministic"), DATA, c, key)
    )
    found = run(config, jr.key(0))
    for name in ("information", "energy", "neuronal", "accuracy"):
        assert jnp.allclose(found[name], found[name][0], rtol=1e-9)
    faster = dataclasses.replace(config, deterministic_rate=0.1)
    other = run(faster, jr.key(0))
    same = jnp.isclose(other["energy"], found["energy"], rtol=1e-9)
    assert same.tolist() == [True, False]


def test_unusual_neurons_are_counted_against_chance():
    import xarray

    chance = np.tile([0.4, 0.6], 10)[None]  # mean .5, deviation .1
    counts = np.full((1, 20), 0.5)
    counts[0, :3], counts[0, 3:5] = 0.29, 0.71
    dims = ("seed", "neuron")
    data = xarray.Dataset({"x": (dims, counts), "shuffled_x": (dims, chance)})
    assert unusual(data, "x") == (0.15, 0.1)


def test_a_network_that_diverged_has_no_counts_of_important_synapses(monkeypatch):
    layers = [
        jnp.ones((4, 3)),
        jnp.ones((4, 4)).at[0, 0].set(jnp.nan),
        jnp.ones((2, 4)),
    ]
    monkeypatch.setattr(sparsity, "train", lambda *_: None)
    monkeypatch.setattr(sparsity, "probabilities", lambda _: layers)
    found = sparsity.gathered(DATA, Config(), jr.key(0))
    lost = {name for name, x in found.items() if jnp.isnan(x).any()} - {"in_out"}
    kinds = ("inputs", "outputs", "shuffled_inputs", "shuffled_outputs")
    assert lost == {f"{kind}_1" for kind in kinds}
    assert found["outputs_2"].tolist() == [1.0] * 4


# --- whether strengths have settled, and the search for least energy ------------------


@pytest.mark.parametrize(
    ("rates", "decay", "warns"),
    [((0.01, 0.08), 0.05, True), ((0.05, 0.05), 0.001, False), ((0.1, 0.08), 1, False)],
)
def test_strengths_that_have_not_settled_are_told(rates, decay, warns):
    rate, other = rates
    options = {"rate": rate, "decay": decay, "epochs": 1, **SETTINGS}
    config = EnergyConfig(deterministic_rate=other, **options)
    if warns:  # 1437 images, 20 in a batch: 71 steps
        with pytest.warns(
            UserWarning, match=r"decay \* steps is 0.036, and at least 4"
        ):
            images_settled(config)
    else:
        images_settled(config)  # warnings are errors


def test_a_search_tells_of_its_least_decay():
    rates = {"rate": 0.1, "deterministic_rate": 0.08}
    config = SearchConfig(decay=1, decays=(1.0, 0.001), epochs=1, **rates, **SETTINGS)
    with pytest.warns(UserWarning, match="have not settled"):
        images_settled_at_least(config)
    with pytest.raises(ValueError, match="`decays` must lie in"):
        SearchConfig(decays=(-0.1,))


def test_the_cheapest_candidate_reaches_the_target():
    dims = ("candidate", "model")
    data = xarray.Dataset(
        {
            "energy": (dims, [[9.0, 4.0], [5.0, 3.0], [1.0, 2.0]]),
            "accuracy": (dims, [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]]),
            "target": ((), 0.75),
        }
    )
    assert cheapest(data).values.tolist() == [5.0, float("inf")]
