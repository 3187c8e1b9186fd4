"""Data sets: the IDX format, the search for files, and what is said without them."""

import gzip
from pathlib import Path

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pooch
import pytest
import requests

from plasticity_jax import data
from plasticity_jax.data import _datasets


CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx(array: np.ndarray) -> bytes:
    """The IDX file of `array`, written independently of the reader."""
    head = bytes([0, 0, CODES[array.dtype.str[1:]], array.ndim])
    sizes = b"".join(int(n).to_bytes(4, "big") for n in array.shape)
    return head + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


def small(seed: int, samples: int = 12) -> data.Dataset:
    rng = np.random.default_rng(seed)
    images = lambda n: rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
    labels = lambda n: rng.integers(0, 10, n, dtype=np.int32)
    few = samples // 2
    return data.Dataset(images(samples), labels(samples), images(few), labels(few))


def write(folder: Path, dataset: data.Dataset, packed: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file, array in zip(FILES, dataset, strict=True):
        content = idx(np.asarray(array, np.uint8))
        if packed:
            (folder / f"{file}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / file).write_bytes(content)


def same(one: data.Dataset, other: data.Dataset) -> bool:
    pairs = zip(one, other, strict=True)
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No network, nothing of this machine: empty cache, variable and package folder."""

    def refuse(url, *args, **kwargs):
        raise requests.exceptions.ConnectionError(f"no route to {url}")

    monkeypatch.setattr(pooch, "retrieve", refuse)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    monkeypatch.delenv("PLASTICITY_JAX_DATA", raising=False)
    debian = str(tmp_path / "debian")
    source = _datasets._SOURCES["fashion_mnist"]._replace(debian_folder=debian)
    monkeypatch.setitem(_datasets._SOURCES, "fashion_mnist", source)


@pytest.fixture
def folder(tmp_path):
    """A whole data set, to be damaged."""
    folder = tmp_path / "here"
    write(folder, small(0))
    return folder


ARRAYS = st.sampled_from(["u1", "i1", "i2", "i4", "f4", "f8"]).flatmap(
    lambda kind: hnp.arrays(
        np.dtype(kind), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
    )
)


@hypothesis.given(array=ARRAYS, packed=st.booleans())
@hypothesis.settings(deadline=None, max_examples=100)
def test_idx_round_trip(tmp_path_factory, array, packed):
    path = tmp_path_factory.getbasetemp() / "round_trip"
    path.write_bytes(gzip.compress(idx(array), 1) if packed else idx(array))
    back = data.read_idx(path)
    assert (back.shape, back.dtype) == (array.shape, array.dtype)
    assert back.dtype.isnative
    assert back.tobytes() == array.tobytes()


@hypothesis.given(array=ARRAYS, change=st.data())
@hypothesis.settings(deadline=None, max_examples=100)
def test_idx_of_another_length_is_refused(tmp_path_factory, array, change):
    content = idx(array)
    path = tmp_path_factory.getbasetemp() / "another_length"
    cut = change.draw(st.integers(0, len(content) - 1))
    for damaged in (content[:cut], content + b"\0"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="another_length"):
            data.read_idx(path)


@hypothesis.given(content=st.binary(max_size=40), magic=st.booleans())
@hypothesis.settings(deadline=None, max_examples=100)
def test_idx_of_any_bytes_is_read_or_refused_by_name(tmp_path_factory, content, magic):
    path = tmp_path_factory.getbasetemp() / "any_bytes"
    path.write_bytes(b"\0\0\x08" * magic + content)
    try:
        array = data.read_idx(path)
    except ValueError as error:
        refusal = str(error)
    else:
        refusal = "" if idx(array) == path.read_bytes() else "read wrongly"
    assert not refusal or str(path) in refusal


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no IDX file"),
        (b"<html>not found</html>", "no IDX file: it begins with \\[3c 68 74 6d\\]"),
        (b"\0\0\x07\1\0\0\0\0", "no IDX file"),
        (b"\0\0\x08\3\0\0\0\1", "header of 3 dimensions alone takes 16"),
        (
            b"\0\0\x08\1\0\0\0\3ab",
            "cut short: 10 bytes, but its shape \\(3,\\) takes 11",
        ),
        (b"\0\0\x08\1\0\0\0\3abcd", "too long"),
        (b"\0\0\x08\xff" + bytes(4 * 255), "impossible shape"),
        (gzip.compress(bytes(99), mtime=0)[:-9], "damaged gzip file"),
        (gzip.compress(bytes(99), mtime=0)[:10] + b"\xff" * 20, "damaged gzip file"),
        (b"\x1f\x8b", "damaged gzip file"),
    ],
    ids=(
        "empty",
        "page",
        "type",
        "header",
        "short",
        "long",
        "dimensions",
        "packed short",
        "packed broken",
        "packed magic",
    ),
)
def test_idx_says_what_is_wrong(tmp_path, content, says):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=says) as error:
        data.read_idx(path)
    assert str(path) in str(error.value)


def test_digits():
    digits = data.load("digits")
    assert digits.train_images.shape == (1437, 8, 8)
    assert digits.test_images.shape == (360, 8, 8)
    assert {array.dtype for array in digits} == {np.dtype("u1"), np.dtype("i4")}
    assert (digits.train_images.min(), digits.train_images.max()) == (0, 16)
    assert digits.test_labels[:4].tolist() == [0, 5, 0, 5]  # samples 0, 5, 10, 15
    assert digits.train_labels[:5].tolist() == [1, 2, 3, 4, 6]
    assert set(digits.test_labels.tolist()) == set(range(10))


def test_a_data_set_is_an_argument_of_a_compiled_run():
    dataset = small(1)

    def run(dataset, scale, key):
        del key
        return scale * jnp.sum(dataset.train_images, dtype=jnp.int32)

    run = jax.tree_util.Partial(run, dataset)
    assert len(jax.tree.leaves(run)) == 4
    program = jax.jit(lambda run, scale, key: run(scale, key))
    total = program(run, jnp.int32(2), jax.random.key(0))
    assert int(total) == 2 * int(np.sum(dataset.train_images, dtype=np.int64))


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize("packed", [False, True])
def test_files_are_read_wherever_they_may_lie(name, packed, tmp_path, monkeypatch):
    places = [tmp_path / "cache" / "plasticity_jax" / name]
    if name == "fashion_mnist":
        places.insert(0, tmp_path / "debian")
    monkeypatch.setenv("PLASTICITY_JAX_DATA", str(tmp_path / "variable"))
    places += [tmp_path / "variable", tmp_path / "variable" / name]
    places += [tmp_path / "dir", tmp_path / "dir" / name]
    for seed, place in enumerate(places):  # each comes before those already written
        write(place, small(seed), packed)
        assert same(data.load(name, tmp_path / "dir"), small(seed))
        assert data.where(name, str(tmp_path / "dir")).location == str(place)


def test_a_folder_of_another_data_set_is_passed_over(tmp_path, monkeypatch):
    mnist = small(0, 24)
    mnist.test_labels[:10] = _datasets._SOURCES["mnist"].first_labels
    write(tmp_path / "both", mnist)
    write(tmp_path / "debian", small(1))
    monkeypatch.setenv("PLASTICITY_JAX_DATA", str(tmp_path / "both"))
    assert same(data.load("mnist"), mnist)
    assert same(data.load("fashion_mnist"), small(1))
    assert f"{tmp_path / 'both'}: holds mnist" in data.where("fashion_mnist").looked_in


def test_without_network_the_error_says_all(tmp_path, monkeypatch):
    monkeypatch.setenv("PLASTICITY_JAX_DATA", str(tmp_path / "variable"))
    (tmp_path / "variable").mkdir()
    write(tmp_path / "part", small(0))
    (tmp_path / "part" / FILES[2]).unlink()
    with pytest.raises(FileNotFoundError) as error:
        data.load("fashion_mnist", tmp_path / "part")
    says = str(error.value)
    for place in (
        f"{tmp_path / 'part' / 'fashion_mnist'}: no such folder",
        f"{tmp_path / 'part'}: lacks {FILES[2]}",
        f"{tmp_path / 'variable'}: none of the files",
        f"{tmp_path / 'cache' / 'plasticity_jax' / 'fashion_mnist'}: no such folder",
        f"{tmp_path / 'debian'}: no such folder",
        "no route to",
        "PLASTICITY_JAX_DATA",
        "--dir",
        "dataset-fashion-mnist",
    ):
        assert place in says
    source = _datasets._SOURCES["fashion_mnist"]
    for file, size, md5 in zip(FILES, source.sizes, source.md5s, strict=True):
        assert f"{source.home}{file}.gz ({size:,} bytes, md5 {md5})" in says


def test_download_goes_to_the_cache_with_checksums(tmp_path, monkeypatch):
    write(tmp_path / "home", small(3), packed=True)
    asked = {}

    def retrieve(url, known_hash, fname, path):
        asked[url] = known_hash
        path.mkdir(parents=True, exist_ok=True)
        (path / fname).write_bytes((tmp_path / "home" / fname).read_bytes())

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert same(data.load("mnist"), small(3))
    source = _datasets._SOURCES["mnist"]
    assert asked == {
        f"{source.home}{file}.gz": f"md5:{md5}"
        for file, md5 in zip(FILES, source.md5s, strict=True)
    }
    asked.clear()
    assert same(data.load("mnist"), small(3))
    assert not asked


def test_a_download_with_a_wrong_checksum_is_no_data_set(monkeypatch):
    def retrieve(url, known_hash, fname, path):
        raise ValueError(f"{known_hash} does not match")

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    with pytest.raises(FileNotFoundError, match="does not match"):
        data.load("mnist")


@pytest.mark.parametrize(
    ("file", "array", "says"),
    [
        (
            0,
            np.zeros((12, 28, 27), "u1"),
            r"28 x 28; got uint8 of shape \(12, 28, 27\)",
        ),
        (0, np.zeros((12, 784), "u1"), "28 x 28"),
        (2, np.zeros((6, 28, 28), "i2"), "must hold uint8 images"),
        (2, np.zeros((0, 28, 28), "u1"), r"got uint8 of shape \(0, 28, 28\)"),
        (1, np.zeros((12, 1), "u1"), "row of uint8 labels"),
        (3, np.zeros(6, "i4"), "row of uint8 labels; got int32"),
        (1, np.zeros(11, "u1"), "each of the 12 images in .*; got 11"),
        (3, np.full(6, 10, "u1"), "labels from 0 to 9; got 10"),
    ],
)
def test_files_that_do_not_fit_are_refused(folder, file, array, says):
    (folder / FILES[file]).write_bytes(idx(array))
    with pytest.raises(ValueError, match=says) as error:
        data.load("mnist", folder)
    assert str(folder / FILES[file]) in str(error.value)


@pytest.mark.parametrize("file", FILES)
def test_a_truncated_file_is_refused_and_reported(folder, file):
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[:-1])
    with pytest.raises(ValueError, match=f"{file} is cut short"):
        data.load("mnist", folder)
    status = data.where("mnist", folder)
    assert (status.found, status.location) == (False, "")
    assert f"{file} is cut short" in status.looked_in[-1]


def test_a_changed_byte_in_a_whole_file_is_found(tmp_path, monkeypatch):
    for count, source in ((60_000, "mnist"), (10_000, "fashion_mnist")):
        images = np.zeros((count, 28, 28), np.uint8)
        labels = (np.arange(count) % 10).astype(np.int32)
        few = np.zeros((3, 28, 28), np.uint8), np.arange(3, dtype=np.int32)
        if count == 60_000:
            changed = data.Dataset(images, labels, *few)
        else:
            changed = data.Dataset(*few, images, labels)
        write(tmp_path / source, changed)
        with pytest.raises(ValueError, match=r"ubyte is corrupt.*MD5"):
            data.load(source, tmp_path)


def test_status_lists_every_data_set_and_downloads_nothing(folder):
    digits, mnist, fashion = data.status(folder)
    assert (digits.name, digits.found) == ("digits", True)
    assert (mnist.name, mnist.found, mnist.location) == ("mnist", True, str(folder))
    assert mnist.looked_in == (
        f"{folder / 'mnist'}: no such folder",
        f"{folder}: found",
    )
    assert fashion.name == "fashion_mnist"
    _, missing, _ = data.status()
    assert not missing.found
    assert all(file in missing.how_to_get for file in FILES)


@pytest.mark.parametrize("look", [data.load, data.where])
def test_unknown_name(look):
    with pytest.raises(ValueError, match="Did you mean 'fashion_mnist'"):
        look("fashionmnist")
    with pytest.raises(ValueError, match="Choose from: digits, mnist, fashion_mnist"):
        look("cifar")


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/usr/share/datasets/fashion-mnist").is_dir(), reason="package not here"
)
def test_the_files_of_the_debian_package(monkeypatch):
    monkeypatch.undo()
    dataset = data.load("fashion_mnist", "/usr/share/datasets/fashion-mnist")
    assert dataset.train_images.shape == (60_000, 28, 28)
    assert dataset.test_images.shape == (10_000, 28, 28)
    assert np.all(np.bincount(dataset.train_labels) == 6_000)
    assert np.all(np.bincount(dataset.test_labels) == 1_000)
