"""Where the data sets are found, how they are checked, what to do without them."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Int32, UInt8

from .._arguments import folder as expanded
from .._arguments import nearest
from ._idx import read_idx


class Dataset(NamedTuple):
    """Grey images and the class of each, as NumPy arrays.

    A pytree: pass `jax.tree_util.Partial(run, dataset)` as the run of a sweep, and the
    arrays are inputs shared by all lanes, not constants of the compiled program.

    >>> digits = load("digits")
    >>> print(digits.train_images.shape, digits.train_images.max())
    (1437, 8, 8) 16
    """

    train_images: UInt8[np.ndarray | Array, "train row column"]
    train_labels: Int32[np.ndarray | Array, " train"]
    test_images: UInt8[np.ndarray | Array, "test row column"]
    test_labels: Int32[np.ndarray | Array, " test"]


class Status(NamedTuple):
    """Whether a data set is here and whole; if not, where to put which files.

    >>> found = where("digits")
    >>> print(found.found, found.how_to_get)
    True Ships in scikit-learn.
    """

    name: str
    found: bool
    location: str  # empty unless found
    looked_in: tuple[str, ...]  # "place: what is there", in the order of the search
    how_to_get: str


class _Source(NamedTuple):
    home: str
    first_labels: tuple[int, ...]  # of the test samples; the file names are shared
    debian_package: str
    debian_folder: str
    sizes: tuple[int, ...]  # of the gzipped files in `home`
    md5s: tuple[str, ...]
    contents: tuple[str, ...]  # MD5 of the arrays' bytes, as they lie in them


_VARIABLE = "PLASTICITY_JAX_DATA"
_FILES = (  # in the order of the fields of `Dataset`
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_COUNTS = (60_000, 60_000, 10_000, 10_000)  # images and labels, train and test
_MNIST: Any = (  # of each file: size, MD5, MD5 of the contents
    (9912422, "f68b3c2dcbeaaa9fbdd348bbdeb94873", "6510e85a72c3e9475c492d559d3770d2"),
    (28881, "d53e105ee54ea40749a09fcbcd1e9432", "e86ee40d66677c011a9abda399ec8c4d"),
    (1648877, "9fb629c4189551a2d022fa330f9573f3", "240610fa99e73bfa49df8e7fc24d3206"),
    (4542, "ec29112dd5afa0611ce80d1b7f02629c", "073c3904dfbd3e141ff8aa01cfde6b15"),
)
_FASHION: Any = (
    (26421880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "f209073e486d5113ebe2cc431d4df862"),
    (29515, "25c81989df183df01b3e8a0aad5dffbe", "3236f6424fc25388b2834cb19942cf7e"),
    (4422102, "bef4ecab320f06d8554ea6380940ec79", "b7656a891b218fc13e45205c48a92cae"),
    (5148, "bb300cfdad3c16e7a12a480ee83cd310", "8dea97a4e78c1bd1b5a6e8efbb870b6e"),
)
_SOURCES = {
    "mnist": _Source(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        (7, 2, 1, 0, 4, 1, 4, 9, 5, 9),
        *("", ""),
        *zip(*_MNIST, strict=True),
    ),
    "fashion_mnist": _Source(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        (9, 2, 1, 1, 6, 1, 4, 6, 5, 7),
        "dataset-fashion-mnist",
        "/usr/share/datasets/fashion-mnist",
        *zip(*_FASHION, strict=True),
    ),
}
_NAMES = ("digits", *_SOURCES)


def load(name: str, dir: str | os.PathLike[str] | None = None) -> Dataset:
    """Load `digits` (8 x 8, values 0 to 16), `mnist` or `fashion_mnist` (28 x 28).

    `digits` ships inside scikit-learn; its every fifth sample, from the first on, is a
    test sample. The others are IDX files, plain or gzipped, looked for in `dir` and
    `$PLASTICITY_JAX_DATA` (in the subfolder `name` first), the user's cache, and the
    folder of Debian's package; found nowhere, they are downloaded to the cache.
    Raises `ValueError` for files that are truncated or corrupt: downloads, and files as
    long as the published ones, must match their checksums.

    >>> digits = load("digits")
    >>> print(len(digits.train_labels), len(digits.test_labels))
    1437 360
    """
    _check_name(name)
    if name == "digits":
        return _digits()
    folder, looked_in = _find(name, dir)
    return _read(name, folder or _download(name, looked_in))


def where(name: str, dir: str | os.PathLike[str] | None = None) -> Status:
    """Look for a data set as `load` does, and read it, but download nothing.

    >>> where("digits").location
    'scikit-learn'
    """
    _check_name(name)
    if name == "digits":
        place = "scikit-learn"
        return Status(name, True, place, (f"{place}: found",), "Ships in scikit-learn.")
    folder, looked_in = _find(name, dir)
    if folder is not None:
        try:
            _read(name, folder)
        except (ValueError, OSError) as error:
            folder, looked_in = None, (*looked_in[:-1], f"{folder}: {error}")
    found = folder is not None
    return Status(name, found, str(folder or ""), looked_in, _how_to_get(name))


def status(dir: str | os.PathLike[str] | None = None) -> list[Status]:
    """Look for every data set; see `where`.

    >>> [found.name for found in status()]
    ['digits', 'mnist', 'fashion_mnist']
    """
    return [where(name, dir) for name in _NAMES]


def _check_name(name: str) -> None:
    if name not in _NAMES:
        raise ValueError(f"Unknown data set '{name}'.{nearest(str(name), _NAMES)}")


def _digits() -> Dataset:
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    images, labels = digits.images.astype(np.uint8), digits.target.astype(np.int32)
    test = np.arange(len(images)) % 5 == 0
    return Dataset(images[~test], labels[~test], images[test], labels[test])


def _cache(name: str) -> Path:
    import pooch

    return Path(pooch.os_cache("plasticity_jax")) / name


def _folders(name: str, dir: str | os.PathLike[str] | None) -> Iterator[Path]:
    for root in (dir, os.environ.get(_VARIABLE)):
        if root:
            root = expanded(root)
            yield from (root / name, root)
    yield _cache(name)
    if _SOURCES[name].debian_folder:
        yield Path(_SOURCES[name].debian_folder)


def _find(
    name: str, dir: str | os.PathLike[str] | None
) -> tuple[Path | None, tuple[str, ...]]:
    """The first folder with all four files, and what was met on the way to it."""
    looked_in = []
    for folder in _folders(name, dir):
        missing = _missing(name, folder)
        looked_in.append(f"{folder}: {missing or 'found'}")
        if not missing:
            return folder, tuple(looked_in)
    return None, tuple(looked_in)


def _missing(name: str, folder: Path) -> str:
    """What keeps `folder` from being the place of `name`; empty if nothing does."""
    if not folder.is_dir():
        return "no such folder"
    absent = [file for file in _FILES if not _path(folder, file).is_file()]
    if len(absent) == len(_FILES):
        return "none of the files"
    if absent:
        return f"lacks {', '.join(absent)}"
    try:
        first = tuple(read_idx(_path(folder, _FILES[3])).ravel()[:10].tolist())
    except (ValueError, OSError):
        return ""  # the files are here; reading them will say what is wrong
    for other, source in _SOURCES.items():
        if other != name and source.first_labels == first:
            return f"holds {other}"
    return ""


def _path(folder: Path, file: str) -> Path:
    """The plain file if there is one, else the gzipped one, there or not."""
    plain = folder / file
    return plain if plain.is_file() else folder / f"{file}.gz"


def _read(name: str, folder: Path) -> Dataset:
    """All four files; those as long as the published ones must hold the same bytes."""
    paths = [_path(folder, file) for file in _FILES]
    data = Dataset(*_split(*paths[:2]), *_split(*paths[2:]))
    wanted = zip(paths, data, _COUNTS, _SOURCES[name].contents, strict=True)
    for path, array, count, checksum in wanted:
        whole = np.asarray(array, np.uint8).tobytes() if len(array) == count else b""
        if whole and hashlib.md5(whole, usedforsecurity=False).hexdigest() != checksum:
            raise ValueError(
                f"{path} is corrupt: it has as many entries as the file of {name}, but "
                f"the MD5 checksum of its contents is not {checksum}."
            )
    return data


def _split(
    images_path: Path, labels_path: Path
) -> tuple[UInt8[np.ndarray, "sample row column"], Int32[np.ndarray, " sample"]]:
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.dtype != np.uint8 or images.shape[1:] != (28, 28) or not len(images):
        raise ValueError(
            f"{images_path} must hold uint8 images of 28 x 28; "
            f"got {images.dtype} of shape {images.shape}."
        )
    if labels.dtype != np.uint8 or labels.ndim != 1:
        raise ValueError(
            f"{labels_path} must hold a row of uint8 labels; "
            f"got {labels.dtype} of shape {labels.shape}."
        )
    if len(labels) != len(images):
        raise ValueError(
            f"{labels_path} must hold a label for each of the {len(images)} images in "
            f"{images_path}; got {len(labels)}."
        )
    if (most := labels.max()) > 9:
        raise ValueError(f"{labels_path} must hold labels from 0 to 9; got {most}.")
    return images, labels.astype(np.int32)


def _download(name: str, looked_in: tuple[str, ...]) -> Path:
    import pooch

    source, folder = _SOURCES[name], _cache(name)
    try:
        for file, md5 in zip(_FILES, source.md5s, strict=True):
            url = f"{source.home}{file}.gz"
            pooch.retrieve(url, f"md5:{md5}", fname=f"{file}.gz", path=folder)
    except (OSError, ValueError) as error:  # no network, no such page; wrong checksum
        places = "\n".join(f"  {place}" for place in looked_in)
        raise FileNotFoundError(
            f"Data set `{name}` is not here and could not be downloaded "
            f"({type(error).__name__}: {error}).\n"
            f"Looked in\n{places}\n{_how_to_get(name)}"
        ) from error
    return folder


def _how_to_get(name: str) -> str:
    source = _SOURCES[name]
    files = "".join(
        f"  {source.home}{file}.gz ({size:,} bytes, md5 {md5})\n"
        for file, size, md5 in zip(_FILES, source.sizes, source.md5s, strict=True)
    )
    package = source.debian_package
    debian = f", or install Debian's package {package}" if package else ""
    return (
        f"Get these four files:\n{files}"
        f"and put them, gzipped or unpacked, into one folder `{name}`; give the folder "
        f"that holds it, or itself, as `dir` (--dir on the command line) or in the "
        f"environment variable {_VARIABLE}{debian}."
    )
