"""The fast generator: its numbers are as random as they claim, and stay what they are.

Keys are fixed, so a test passes or fails for good; beside each threshold stands how
often a perfect generator would fail it with other keys.
"""

import itertools
import math
import pickle
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy import stats

import plasticity_jax
from plasticity_jax import fast_key, real, Scalar, sweep
from plasticity_jax._random import spike_counts, unrolled
from plasticity_jax._random._draws import _radius, _sine
from plasticity_jax._random._keys import _rounds
from plasticity_jax.experiment import load_plan
from plasticity_jax.numerics import normal, poisson


SINGLE, WORD = jnp.float32, jnp.uint32
DRAWS = {
    "normal": lambda key: normal(key, (3, 5), SINGLE),
    "double": lambda key: normal(key, (7,)),
    "half": lambda key: normal(key, (4,), jnp.bfloat16),
    "uniform": lambda key: jr.uniform(jr.split(key, 4)[2], (5,)),
    "bytes": lambda key: jr.bits(key, (9,), jnp.uint8),
    "folded": lambda key: jr.bits(jr.fold_in(key, 123456), (3,), WORD),
    "counts": lambda key: poisson(key, jnp.array([0.5, 30.0])),
    "spikes": lambda key: spike_counts(key, jnp.full(6, 0.3), (4, 6), "bernoulli", 16),
}


@pytest.fixture(scope="module")
def normals():
    """Two million normals of two thousand keys."""
    keys = jr.split(fast_key(1), 2**11)
    drawn = jax.jit(jax.vmap(lambda key: normal(key, (2**10,), SINGLE)))(keys)
    return np.asarray(drawn, float)


@pytest.mark.parametrize(
    ("key", "low", "words"),
    [
        ((0, 0), (0, 0), (0x9D1C5EC6, 0x8BD50731)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0xFD36D048, 0x2D17272C)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xBA3E4725, 0xF27D669E)),
    ],
)
def test_keys_are_derived_as_published(key, low, words):
    """The known answers of Random123 for Threefry-2x32 with 13 rounds."""
    key = jnp.asarray(key, WORD)
    found = _rounds(key, low[0], jnp.asarray(low[1], WORD), 13)
    assert tuple(map(int, found)) == words


def test_the_stream_stays_what_it_is():
    words = jr.bits(fast_key(7), (4,), WORD)
    assert words.tolist() == [0x77798F92, 0xA18853B7, 0xF62238EB, 0xEA368A23]
    wide = jr.bits(fast_key(7), (2,), jnp.uint64)
    assert wide.tolist() == [0x77798F9278B8A543, 0xA18853B7112E4F12]
    child = jr.fold_in(jr.split(fast_key(7), 3)[1], 5)
    assert jr.bits(child, (), WORD) == 0x145760D4


def test_a_draw_is_the_same_in_any_batch_and_order():
    draw = lambda key: {name: drawn(key) for name, drawn in DRAWS.items()}
    keys = jr.split(fast_key(3), 6)
    single = jax.jit(draw)
    alone = [single(key) for key in keys]
    together = jax.jit(jax.vmap(draw))(keys)
    looped = jax.jit(lambda keys: jax.lax.map(draw, keys))(keys[::-1])
    for name, i in itertools.product(DRAWS, range(6)):
        one = alone[i][name]
        assert jnp.array_equal(one, together[name][i]), name
        assert jnp.array_equal(one, looped[name][5 - i]), name


def test_default_keys_draw_what_jax_draws():
    for key in (jr.key(3), unrolled(jr.key(3))):
        for kind in (None, SINGLE, jnp.float64, jnp.bfloat16):
            found = normal(key, (9,), kind)
            assert jnp.array_equal(found, jr.normal(jr.key(3), (9,), kind or float))


def test_poisson_numbers_of_any_kind_of_key():
    mean = jnp.array([0.3, 80.0])
    for key in (jr.key(3), unrolled(jr.key(3))):
        drawn = jr.poisson(jr.key(3), mean).astype(float)
        assert jnp.array_equal(poisson(key, mean), drawn)
    keys = jr.split(fast_key(1), 4000)
    drawn = jax.jit(jax.vmap(lambda key: poisson(key, mean)))(keys)
    assert jnp.all(jnp.abs(drawn.mean(0) - mean) < 4 * jnp.sqrt(mean / 4000))
    spread = jnp.sqrt((2 + 1 / mean) / 4000)  # of the variance over the mean
    assert jnp.all(jnp.abs(drawn.var(0) / mean - 1) < 4 * spread)


@pytest.mark.parametrize("name", ["normal", "poisson"])
def test_all_draws_of_a_law_go_through_one_door(name):
    root = Path(plasticity_jax.__file__).parent
    own = [x for x in root.rglob("*.py") if not {"checks", "textbook"} & set(x.parts)]
    drawing = [path.name for path in own if f"jr.{name}" in path.read_text()]
    assert drawing == ["_draws.py"]


def test_transforms_of_words_are_right_to_the_last_one():
    """Both polynomials against double precision, over all exponents and at the ends."""
    draw = np.random.default_rng(0)
    words = draw.integers(0, 2**32, 200_000, np.uint32) >> draw.integers(0, 32, 200_000)
    ends = [0, 1, 2, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 2, 2**32 - 1]
    words = np.concatenate([words, ~words, ends]).astype(np.uint32)
    radius = np.sqrt(-2 * np.log(((words >> 1) + 0.5) / 2**31))
    found = np.asarray(_radius(jnp.asarray(words)), float)
    assert found.max() > 6.6
    # Next to 0 the single precision of the probability shows, for one in 10^5 words.
    near = radius > 0.01
    assert np.abs(found - radius)[near].max() < 1e-5
    assert np.abs(found - radius)[~near].max() < 1e-3
    sine = np.sin(np.pi * words.astype(np.int32) / 2**32)
    assert np.abs(np.asarray(_sine(jnp.asarray(words))) - sine).max() < 1e-6


def test_moments_of_normals_to_the_eighth(normals):
    """Of a perfect generator one in 200,000 fails one of the eight at 5 errors."""
    x = normals.ravel()
    moment = lambda k: 0 if k % 2 else math.prod(range(1, k, 2))
    for k in range(1, 9):
        error = math.sqrt((moment(2 * k) - moment(k) ** 2) / x.size)
        assert abs(np.mean(x**k) - moment(k)) < 5 * error, k


def test_normals_have_their_distribution(normals):
    """Kolmogorov and Smirnov of 200,000, chi-squared of 1000 cells: 1 in 10^4."""
    x = normals.ravel()
    assert stats.kstest(x[:200_000], "norm").pvalue > 1e-4
    cells = np.histogram(stats.norm.cdf(x), 1000, (0, 1))[0]
    assert stats.chisquare(cells).pvalue > 1e-4


@pytest.mark.parametrize("draws", [2**24, pytest.param(2**28, marks=pytest.mark.slow)])
def test_tails_of_normals_hold_what_they_should(draws):
    """Counts beyond 3, 4 and 5 on either side, by Poisson's law: 1 in 10^4 over all."""
    bounds = jnp.asarray([3, 4, 5, -3, -4, -5], SINGLE)

    def count(found, key):
        x = normal(key, (2**16,), SINGLE)
        beyond = (x[None] - bounds[:, None]) * jnp.sign(bounds)[:, None] > 0
        return found + jnp.sum(beyond, axis=1), None

    @jax.jit
    def counted(keys):
        return jax.lax.scan(count, jnp.zeros(6, int), keys)[0]

    found = counted(jr.split(fast_key(2), draws // 2**16)).tolist()
    for side, beyond in zip(found, np.abs(bounds).tolist(), strict=True):
        law = stats.poisson(draws * stats.norm.sf(beyond))
        assert min(law.cdf(side), law.sf(side - 1)) > 1e-5, beyond


def test_normals_do_not_know_each_other(normals):
    """Serial and cross-stream correlations, also of squares: 1 in 10^5 over all."""
    for x in (normals, normals**2 - 1):
        scale = np.mean(x**2)
        for lag in (1, 2, 3, 16, 100):
            serial, across = x[:, lag:] * x[:, :-lag], x[lag:] * x[:-lag]
            for pairs in (serial, across):
                error = scale / math.sqrt(pairs.size)
                assert abs(np.mean(pairs)) < 5.2 * error, lag


def test_one_bit_of_a_key_or_a_counter_changes_half_of_the_bits():
    """Each bit of a word against each that is flipped: 1 in 10^4 over all 2,464."""
    key, size = fast_key(5), 2**13
    flips = np.zeros((65, 2), np.uint32)
    for i in range(64):
        flips[i + 1, i // 32] = 1 << i % 32
    data = np.asarray(jr.key_data(key)) ^ flips
    keys = jr.wrap_key_data(jnp.asarray(data), impl=jr.key_impl(key))
    draw = jax.jit(jax.vmap(lambda key: jr.bits(key, (size,), WORD)))
    words = np.asarray(draw(keys))
    at = np.arange(size)
    others = [*words[1:], *(words[0][at ^ (1 << k)] for k in range(13))]
    for k, other in enumerate(others):
        changed = (words[0] ^ other).view(np.uint8).reshape(-1, 4)
        # A pair of counters is met twice.
        pairs = size if k < 64 else size / 2
        share = np.unpackbits(changed, axis=1).mean(0)
        assert np.abs(share - 0.5).max() < 5.4 * 0.5 / math.sqrt(pairs), k


def test_words_recur_as_random_ones_do():
    """Equal pairs among a million words, by Poisson's law: 1 in 10^4.

    A bijection of the counter would have none.
    """
    words = np.sort(np.asarray(jr.bits(fast_key(6), (2**20,), WORD)))
    law = stats.poisson(2**39 / 2**32)
    pairs = int(np.sum(words[1:] == words[:-1]))
    assert min(law.cdf(pairs), law.sf(pairs - 1)) > 1e-4


def test_derived_keys_differ():
    """No two of 200,000 keys by split and by fold-in, two levels deep."""

    @jax.jit
    def derived(key):
        first = jr.split(key, 200)
        second = jax.vmap(lambda key: jr.split(key, 500))(first)
        steps = jnp.arange(2**20, 2**20 + 100_000)
        folded = jax.vmap(lambda i: jr.fold_in(first[0], i))(steps)
        return jr.key_data(second).reshape(-1, 2), jr.key_data(folded)

    data = np.concatenate(derived(fast_key(0))).astype(np.uint64)
    assert len(np.unique(data[:, 0] << np.uint64(32) | data[:, 1])) == 200_000


@pytest.mark.parametrize("shape", [(400, 250), (401, 250)])
def test_counts_have_their_mean(shape):
    """Within 4.5 standard errors: 1 in 10^4 over all six."""

    @jax.jit
    def drawn(key):
        chance = jnp.full(shape, 0.2)
        return {
            "16 bits": spike_counts(key, chance, shape, "bernoulli", 16),
            "32 bits": spike_counts(key, chance, shape, "bernoulli"),
            "poisson": spike_counts(key, chance, shape, "poisson"),
        }

    for name, found in drawn(fast_key(4)).items():
        variance = 0.2 if name == "poisson" else 0.16
        error = math.sqrt(variance / found.size)
        assert abs(float(jnp.mean(found)) - 0.2) < 4.5 * error, name


def drawn(config, key):
    """What a step of each kind draws: here, so that other processes can import it."""
    spikes = spike_counts(key, jnp.full(6, config.chance), (4, 6), "bernoulli", 16)
    return {"normals": normal(key, (5,), SINGLE), "spikes": spikes}


class Chance(eqx.Module):
    chance: Scalar = eqx.field(default=0.3, converter=real)


def test_a_sweep_has_the_same_bits_in_any_batches_and_in_another_process():
    keys, grid = jr.split(fast_key(0), 3), {"chance": [0.1, 0.5]}
    whole, parts = (
        sweep(drawn, Chance(), grid, keys, batch_size=size, progress=False)
        for size in (6, 4)
    )
    assert whole.attrs["key_kind"] == "fast"
    assert len(np.unique(whole.normals)) == 15  # every point sees the same keys
    assert whole.equals(parts)
    sent = pickle.loads(pickle.dumps(jr.key_impl(keys)))  # as to an executor's worker
    assert jr.wrap_key_data(jr.key_data(keys), impl=sent).dtype == keys.dtype


def test_a_file_with_an_unknown_kind_of_keys_is_refused(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text("[common]\nkeys = 3\n")
    with pytest.raises(ValueError, match=r"a\.toml: keys` is unknown: 3"):
        load_plan(Chance, path, None)


@pytest.mark.parametrize("draw", ["normal", "spikes"])
def test_a_key_is_hashed_apart_from_what_is_drawn(draw):
    """LLVM may take minutes to vectorise a loop that holds the rounds of its key."""

    def run(key):
        add = lambda total, key: (total + DRAWS[draw](key), None)
        return jax.lax.scan(add, DRAWS[draw](key), jr.split(key, 3))[0]

    text = jax.jit(jax.vmap(run)).lower(fast_key(0)[None]).compile().as_text()
    rounds, words = str(0x1BD11BDA), str(0xED5AD4BB)
    parts = [{x for x in (rounds, words) if x in part} for part in text.split("\n\n")]
    assert {rounds} in parts
    assert {words} in parts
    assert {rounds, words} not in parts
