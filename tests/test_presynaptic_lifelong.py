"""Streams of tasks, what is measured on them, and what EWC keeps of each."""

import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import xarray

from plasticity_jax import State
from plasticity_jax.circuits import StochasticNetwork
from plasticity_jax.data import Dataset
from plasticity_jax.experiment._plan import changed, Plan
from plasticity_jax.measure import forgetting, learning_accuracy, mean_accuracy
from plasticity_jax.synapses import split_weights, Stochastic, uniform_probability
from plasticity_jax.systems.presynaptic_stochasticity.config import (
    build,
    Config,
    images_of,
    PAIRS,
    Source,
    source_of,
)
from plasticity_jax.systems.presynaptic_stochasticity.experiments.ablations import (
    RETUNED,
    variant,
    VARIANTS,
)
from plasticity_jax.systems.presynaptic_stochasticity.experiments.lifelong import (
    known,
    METHODS,
    SETTINGS,
    summary,
    tuned,
    with_method,
)
from plasticity_jax.systems.presynaptic_stochasticity.experiments.tuning import (
    best,
    forgotten,
    shortfall,
    SWEPT,
    values_of,
)
from plasticity_jax.systems.presynaptic_stochasticity.networks import (
    Convolutional,
    CrossEntropy,
    Perceptron,
    predict,
)
from plasticity_jax.systems.presynaptic_stochasticity.training import (
    accuracies,
    attend,
    learn,
    Learned,
    release_levels,
    remember,
    stream_of,
    task_sample,
)
from plasticity_jax.tasks import Constant, ImageBatches


PIXELS, EACH = 9, 6  # images of a class
LABELS = np.repeat(np.arange(10), EACH)
PAIRS_OF = tuple(jnp.asarray(np.flatnonzero(np.isin(LABELS, pair))) for pair in PAIRS)
IMAGES = np.random.default_rng(0).integers(0, 17, (60, PIXELS)).astype(np.uint8)
SOURCE = Source(
    jnp.asarray(IMAGES),
    jnp.asarray(LABELS),
    jnp.asarray(IMAGES[::2]),
    jnp.asarray(LABELS[::2]),
    tuple(pair.astype(jnp.int32) for pair in PAIRS_OF),
)
SMALL = Config(hidden=(4,), batch=5, epochs=2, votes=2, tasks=3, fisher_samples=4)
KEY = jr.key(7)
MATRIX = jnp.asarray([[0.9, 0.5, 0.4], [0.7, 0.8, 0.5], [0.6, 0.9, 1.0]])


def change(**fields):
    return dataclasses.replace(SMALL, **fields)


def test_a_split_stream_shows_each_pair_in_turn_and_tests_it_alone():
    stream = stream_of(SMALL, SOURCE, KEY)
    assert len(stream.tasks) == len(PAIRS)
    for task, pair, tests in zip(stream.tasks, PAIRS, stream.tests, strict=True):
        shown = LABELS[np.asarray(task.order)]
        assert shown.shape == (2 * (2 * EACH // 5), 5)
        assert set(shown.ravel()) == set(pair)
        np.testing.assert_array_equal(task.labels[task.order], shown % 2)
        tested = LABELS[::2][np.asarray(tests) > 0]
        assert set(tested) == set(pair)
        assert len(tested) == EACH


def test_epochs_show_each_image_at_most_once_in_another_order():
    order = np.asarray(stream_of(SMALL, SOURCE, KEY).tasks[2].order)
    first, second = order[:2].ravel(), order[2:].ravel()
    assert len(set(first)) == len(first) == len(set(second)) == 10
    assert not np.array_equal(first, second)


def test_groups_of_any_size_share_outputs_or_have_their_own():
    groups = ((7, 2, 4), (0, 9))
    source = source_of(Dataset(IMAGES, LABELS, IMAGES, LABELS), groups)
    config = change(groups=groups)
    assert config.labels == 3
    stream = stream_of(config, source, KEY)
    for task, group, tests in zip(stream.tasks, groups, stream.tests, strict=True):
        shown = LABELS[np.asarray(task.order).ravel()]
        assert set(shown) == set(group)
        assert set(LABELS[np.asarray(tests) > 0]) == set(group)
        places = [group.index(label) for label in shown]
        np.testing.assert_array_equal(task.labels[task.order.ravel()], places)
    own = dataclasses.replace(config, protocol="incremental")
    assert own.labels == 10
    more = stream_of(own, source, KEY)
    np.testing.assert_array_equal(more.tests, stream.tests)
    np.testing.assert_array_equal(more.tasks[0].order, stream.tasks[0].order)
    np.testing.assert_array_equal(more.tasks[0].labels, LABELS)
    with pytest.raises(ValueError, match=r"`groups` must lie in \[0, 9\]"):
        change(groups=((1, 10),))


def test_the_joint_stream_mixes_all_classes_in_one_task():
    joint = stream_of(change(protocol="joint"), SOURCE, KEY)
    (task,) = joint.tasks
    assert len(task.order) == 2 * len(LABELS) // 5
    for epoch in np.split(np.asarray(task.order), 2):
        np.testing.assert_array_equal(np.sort(epoch.ravel()), np.arange(60))
    early = LABELS[np.asarray(task.order[:4]).ravel()] // 2
    assert len(set(early)) == len(PAIRS)
    split = stream_of(SMALL, SOURCE, KEY)
    np.testing.assert_array_equal(joint.tests, split.tests)


def test_every_permuted_task_shows_all_images_through_its_own_permutation():
    stream = stream_of(change(protocol="permuted"), SOURCE, KEY)
    assert stream.pixels is not None
    assert stream.pixels.shape == (3, PIXELS)
    assert len({tuple(np.asarray(row)) for row in stream.pixels}) == 3
    for row, task in zip(stream.pixels, stream.tasks, strict=True):
        images, labels = task(jnp.asarray(1), KEY)
        plain = dataclasses.replace(task, pixels=None)(jnp.asarray(1), KEY)[0]
        np.testing.assert_array_equal(np.sort(row), np.arange(PIXELS))
        np.testing.assert_array_equal(images, plain[:, row])
        np.testing.assert_array_equal(labels, LABELS[np.asarray(task.order[1])])


def test_a_continuous_stream_mixes_neighbours_at_its_boundaries_only():
    config = change(protocol="continuous", epochs=40)
    stream = stream_of(config, SOURCE, KEY)
    tasks = np.stack([np.asarray(task.task).ravel() for task in stream.tasks])
    samples = 40 * len(LABELS)
    mixed = samples // 8
    assert tasks.shape == (3, samples)
    assert set(tasks[0, :-mixed]) == {0}
    assert set(tasks[0, -mixed:]) == {0, 1}
    assert set(tasks[1, mixed:-mixed]) == {1}
    assert set(tasks[1, :mixed]) == {0, 1}
    assert set(tasks[1, -mixed:]) == {1, 2}
    assert set(tasks[2, mixed:]) == {2}
    share = (tasks[1, :mixed] == 0).mean()  # its mean over the ramp is one quarter
    error = math.sqrt(0.25 * 0.75 / mixed)
    assert abs(share - 0.25) < 4 * error
    assert error < 0.03


def test_measures_of_an_accuracy_matrix():
    assert mean_accuracy(MATRIX) == pytest.approx(2.5 / 3)
    assert forgetting(MATRIX) == pytest.approx((0.9 - 0.6 + 0.8 - 0.9) / 2)
    assert learning_accuracy(MATRIX) == pytest.approx(0.9)


def test_a_summary_keeps_methods_and_seeds_apart():
    rows = np.stack([MATRIX, MATRIX + 0.01])[None]
    data = xarray.Dataset(
        {"accuracy": (("seed", "learner", "after", "task"), rows)},
        {"learner": ["presynaptic", "SGD"]},
    )
    seen = summary(data)
    np.testing.assert_allclose(seen["mean"], [[2.5 / 3, 2.5 / 3 + 0.01]])
    np.testing.assert_allclose(seen.forgetting, [[0.1, 0.1]])
    np.testing.assert_allclose(seen["first"].sel(learner="SGD")[0], [0.91, 0.71, 0.61])


def test_a_divergent_network_counts_as_nothing_known():
    task = stream_of(SMALL, SOURCE, KEY).tasks[0]
    system, _, _ = build(SMALL, task, PIXELS, KEY)
    whole = {"a": jnp.ones(2), "b": jnp.zeros((2, 2))}
    broken = {"a": jnp.asarray([1.0, jnp.inf]), "b": jnp.zeros((2, 2))}

    def after(synapses):
        state = State(None, synapses)
        return known(Learned(MATRIX, jnp.ones(3), jnp.zeros(3), system, state, None))

    np.testing.assert_array_equal(after(whole), MATRIX)
    assert bool(jnp.all(jnp.isnan(after(broken))))


remembered = eqx.filter_jit(remember)


def penalised(**fields):
    config = change(method="ewc", penalty=100.0, **fields)
    stream = stream_of(config, SOURCE, KEY)
    system, state, rest = build(config, stream.tasks[0], PIXELS, KEY)
    anchors = [state.synapses, jax.tree.map(lambda w: w + 0.1, state.synapses)]
    kept = []
    for index, anchor in enumerate(anchors):
        task, key = stream.tasks[index], jr.fold_in(KEY, index)
        system = remembered(config, system, anchor, rest, task, key)
        kept.append(system.rules["memory"])
    return config, stream, rest, anchors, kept


def test_the_empirical_fisher_takes_the_true_labels():
    _, stream, rest, (anchor, _), (kept, _) = penalised(fisher="empirical")
    images, labels = task_sample(stream.tasks[0], 4, jr.fold_in(KEY, 0))
    slope = jax.jit(jax.grad(CrossEntropy(rest)))
    want = jax.tree.map(np.zeros_like, anchor)
    for image, label in zip(images, labels, strict=True):
        square = lambda w, g: w + np.asarray(g) ** 2 / 4
        want = jax.tree.map(square, want, slope(anchor, (image[None], label[None])))
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14)
    jax.tree.map(close, kept.precision, want)
    _, _, _, _, (exact, _) = penalised()
    assert not eqx.tree_equal(exact.precision, kept.precision)


def _uneven():
    """Pairs of 12, 7 and 10 images: 2, 1 and 2 batches of 5 an epoch."""
    pairs = tuple(pair[:n] for pair, n in zip(SOURCE.pairs, (12, 7, 10), strict=False))
    return SOURCE._replace(pairs=pairs)


@pytest.mark.dear
def test_a_stream_of_uneven_tasks_is_learned_as_task_after_task():
    """By hand: one run for each task, as long as it is."""
    source, config = _uneven(), change(up=0.2, down=0.1, epochs=3, protocol="split")
    learned = jax.jit(learn)(config, source, KEY)
    for_stream, for_build, for_run, for_test, _ = jr.split(KEY, 5)
    stream = stream_of(config, source, for_stream)
    system, state, rest = build(config, stream.tasks[0], PIXELS, for_build)
    assert [len(task.order) for task in stream.tasks] == [6, 3, 6]
    for index, task in enumerate(stream.tasks):
        here, key = dataclasses.replace(system, task=task), jr.fold_in(for_run, index)
        state = attend(here, state, key)
        test = jr.fold_in(for_test, index)
        seen = accuracies(config, stream, source, rest, state.synapses, test)
        np.testing.assert_allclose(learned.accuracy[index], seen, equal_nan=True)
    for a, b in zip(*map(jax.tree.leaves, (learned.state, state)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)
    assert learned.course.loss.shape == (3, 3)
    assert jnp.array_equal(learned.course.frozen[:, -1], learned.frozen)


@pytest.mark.dear
def test_a_stream_stops_after_a_first_task_that_is_not_learned():
    config = change(method="deterministic", rate=0.0, protocol="permuted", epochs=1)
    at = jax.jit(
        lambda below: learn(dataclasses.replace(config, stop_below=below), SOURCE, KEY)
    )
    whole, cut = at(0.0), at(0.9)
    assert jnp.all(jnp.isfinite(whole.accuracy))
    assert jnp.array_equal(cut.accuracy[0], whole.accuracy[0])
    assert jnp.all(jnp.isnan(cut.accuracy[1:]))
    assert jnp.all(jnp.isnan(cut.course.loss[1:]))


@pytest.mark.dear
def test_the_elastic_penalty_takes_up_every_task():
    config, stream, rest, anchors, kept = penalised()
    loss, diagonals = CrossEntropy(rest), []
    for index, anchor in enumerate(anchors):
        images, _ = task_sample(stream.tasks[index], 4, jr.fold_in(KEY, index))
        total = jax.tree.map(jnp.zeros_like, anchor)
        for image in images:  # the mean over the model's own labels, one by one
            logits = -jnp.stack(
                [loss(anchor, (image[None], jnp.asarray([y]))) for y in (0, 1)]
            )
            for y in (0, 1):
                chance = jnp.exp(logits[y])
                slope = jax.grad(loss)(anchor, (image[None], jnp.asarray([y])))
                square = jax.tree.map(lambda g, p=chance: p * g**2 / 4, slope)
                total = jax.tree.map(jnp.add, total, square)
        diagonals.append(total)
    first, second = diagonals
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14)
    jax.tree.map(close, kept[0].precision, first)
    jax.tree.map(close, kept[1].precision, jax.tree.map(jnp.add, first, second))
    moment = jax.tree.map(
        lambda f, w, g, v: f * w + g * v, first, anchors[0], second, anchors[1]
    )
    jax.tree.map(close, kept[1].moment, moment)
    assert kept[1].penalty == config.penalty


def test_online_the_older_tasks_fade_by_their_memory():
    _, _, _, anchors, (only, faded) = penalised(online=True, memory=0.0)
    _, _, _, _, (_, whole) = penalised(online=True, memory=1.0)
    gone = jax.tree.map(
        lambda a, f, o: a - f - o, whole.precision, faded.precision, only.precision
    )
    assert max(float(jnp.max(jnp.abs(x))) for x in jax.tree.leaves(gone)) < 1e-12
    moment = jax.tree.map(jnp.multiply, faded.precision, anchors[1])
    jax.tree.map(np.testing.assert_allclose, faded.moment, moment)


@pytest.mark.dear
def test_learning_tests_every_task_after_each_and_seeds_may_be_vmapped():
    config = change(up=0.1, down=0.1, protocol="permuted", tasks=2, epochs=1, votes=1)

    def run(key):
        learned = learn(config, SOURCE, key)
        return learned.accuracy, learned.probability, learned.frozen

    keys = jr.split(KEY, 2)
    together = jax.jit(jax.vmap(run))(keys)
    assert together[0].shape == (2, 2, 2)
    one = jax.jit(run)
    for i in range(2):
        for whole, alone in zip(together, one(keys[i]), strict=True):
            np.testing.assert_allclose(whole[i], alone, rtol=1e-12)
    per_test = np.asarray(together[0]) * 30
    np.testing.assert_allclose(per_test, np.round(per_test), atol=1e-9)
    assert bool(jnp.all((together[1] >= 0.25) & (together[1] <= 1)))


def test_methods_and_variants_change_what_they_name():
    assert with_method(SMALL, "presynaptic") == SMALL
    assert {tuned(SMALL, name).method for name in METHODS} == {
        "presynaptic",
        "deterministic",
        "ewc",
        "bgd",
    }
    assert float(tuned(SMALL, "BGD").rate) == 1
    assert float(tuned(SMALL, "BGD").deviation) == pytest.approx(
        SETTINGS["digits"]["BGD"]["deviation"]
    )
    assert float(with_method(SMALL, "EWC").rate) == float(SMALL.rate)
    images = change(data="mnist")
    for name, (down, up, freeze) in RETUNED.items():
        here = variant(images, name)
        assert (float(here.down), float(here.up)) == pytest.approx((down, up))
        assert float(here.freeze) == pytest.approx(freeze)
        assert (float(here.freeze) == 1) == (VARIANTS[name].get("freeze") == 1)
    plan = changed(up=0.0)(Plan(images, {}, 1))
    assert float(variant(plan.config, "full").up) == 0


def test_the_best_setting_is_read_off_a_sweep_without_what_diverged():
    values = np.stack([np.asarray(values_of(SMALL, name)) for name in SWEPT])
    mean = np.tile(np.linspace(0.5, 0.75, 6), (len(SWEPT), 1))
    stable = np.ones((len(SWEPT), 6))
    mean[2, 4:], stable[2, 4:] = 0.9, 0.0
    data = xarray.Dataset(
        {
            "mean": (("seed", "learner", "candidate"), mean[None]),
            "stable": (("seed", "learner", "candidate"), stable[None]),
            "forgetting": (("seed", "learner", "candidate"), 0.2 * stable[None]),
            "own_forgetting": ("seed", [0.1]),
            "value": (("learner", "candidate"), values),
        },
        {"learner": list(SWEPT)},
    )
    found = best(data)
    assert found["SGD"] == pytest.approx(0.03)
    assert found["EWC"] == pytest.approx(3.0 / 0.01)
    assert shortfall(data, "EWC", 100.0) == pytest.approx(0.05)
    assert shortfall(data, "SGD", 0.03) == 0
    assert math.isnan(shortfall(data, "EWC", 1e3))
    assert forgotten(data, "EWC", 100.0) == pytest.approx(0.5)
    assert math.isnan(forgotten(data, "EWC", 1e3))


# --- other networks -----------------------------------------------------------------


@pytest.mark.dear
def test_a_convolutional_network_learns_with_plastic_release():
    config = Config(
        network="convolutional", protocol="single", rate=0.05, epochs=20, votes=4
    )
    learned = jax.jit(learn)(config, images_of(config), jr.key(0))
    shapes = [p.shape for p in jax.tree.leaves(learned.state.synapses.probability)]
    assert shapes == [(8, 1, 3, 3), (16, 8, 3, 3), (10, 64)]
    assert isinstance(learned.rest, Convolutional)
    assert learned.accuracy[0, 0] > 0.6  # of ten classes
    assert 0.25 < learned.probability[0] < 1


@pytest.mark.dear
def test_any_equinox_network_releases_its_weights_only():
    network = eqx.nn.MLP(3, 2, 4, 1, key=jr.key(0))
    weights, rest = split_weights(network)
    assert [w.shape for w in jax.tree.leaves(weights)] == [(4, 3), (2, 4)]
    circuit = StochasticNetwork(CrossEntropy(rest))
    half = uniform_probability(weights, 0.5)
    batch = (jnp.ones((5, 3)), jnp.zeros(5, jnp.int32))
    _, signals = circuit(None, Stochastic(weights, half), batch, jr.key(1))
    gates = jnp.concatenate([g.ravel() for g in jax.tree.leaves(signals.gates)])
    slopes = jnp.concatenate([g.ravel() for g in jax.tree.leaves(signals.gradient)])
    assert set(np.unique(np.asarray(gates))) == {0.0, 2.0}
    assert not jnp.any(jnp.where(gates == 0, slopes, 0.0))


# --- labels, and networks that are lost ---------------------------------------------


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([0, 1, 2, 1], r"`labels` must lie in \[0, 1\], of 2 outputs.*; got 2"),
        ([0, -1, 1, 1], "got -1"),
        ([0.0, 1.0, 1.0, 0.0], "`labels` must be integers; got float64"),
    ],
)
def test_labels_without_an_output_are_refused(labels, says):
    task = Constant((jnp.ones((4, PIXELS)), jnp.asarray(labels)))
    with pytest.raises(ValueError, match=says):
        build(SMALL, task, PIXELS, KEY)


def test_labels_count_that_are_shown():
    shown = lambda order: ImageBatches(
        SOURCE.train_images, SOURCE.train_labels, jnp.asarray(order)
    )
    build(SMALL, shown([[0, 7]]), PIXELS, KEY)  # of the classes 0 and 1
    with pytest.raises(ValueError, match="of 2 outputs of the network; got 2"):
        build(SMALL, shown([[0, 7], [1, 13]]), PIXELS, KEY)
    with pytest.raises(ValueError, match="must have 8 pixels"):
        build(SMALL, shown([[0, 7]]), 8, KEY)
    beyond = Dataset(IMAGES, LABELS + 1, IMAGES, LABELS)
    with pytest.raises(ValueError, match="`train_labels` must lie in"):
        source_of(beyond)


def test_traced_labels_without_an_output_spoil_loss_and_gradient():
    weights, rest = split_weights(Perceptron((PIXELS, 3, 2), KEY))
    images = jr.normal(KEY, (3, PIXELS))
    loss = lambda weights, labels: CrossEntropy(rest)(weights, (images, labels))
    at = jax.jit(jax.value_and_grad(loss))
    good, bad = at(weights, jnp.asarray([0, 1, 1])), at(weights, jnp.asarray([0, 2, 1]))
    assert all(jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(good))
    assert all(jnp.all(jnp.isnan(x)) for x in jax.tree.leaves(bad))


def test_a_lost_network_has_no_accuracy():
    config = change(method="deterministic", protocol="single")
    stream = stream_of(config, SOURCE, KEY)
    _, state, rest = build(config, stream.tasks[0], PIXELS, KEY)
    lost = jax.tree.map(lambda w: jnp.nan * w, state.synapses)
    seen = eqx.filter_jit(accuracies)(config, stream, SOURCE, rest, lost, KEY)
    assert jnp.all(jnp.isnan(seen))
    releasing = Stochastic(lost, lost)
    assert all(jnp.isnan(x) for x in release_levels(SMALL, releasing))


def test_predictions_are_mean_softmax_outputs_of_networks_drawn_for_every_batch():
    """Seven images in batches of three, two votes each: by hand, key by key."""
    images = jr.normal(jr.key(0), (7, 4))
    network = eqx.nn.Linear(4, 3, key=jr.key(1))
    weights, rest = eqx.partition(network, eqx.is_inexact_array)
    drawn = lambda key: jax.tree.map(lambda w: w + jr.normal(key, w.shape), weights)
    found = predict(rest, drawn, images, jr.key(2), votes=2, batch=3)
    keys = [jr.split(key, 2) for key in jr.split(jr.key(2), 3)]
    for i, image in enumerate(images):
        logits = [eqx.combine(drawn(key), rest)(image) for key in keys[i // 3]]
        expected = sum(map(jax.nn.softmax, logits)) / 2
        assert jnp.allclose(found[i], expected, rtol=1e-12)
