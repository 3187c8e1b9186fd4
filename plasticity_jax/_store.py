"""Finished batches of a sweep on disk: written whole, checksummed, resumed.

A store is a folder with `manifest.json`, which says what sweep it belongs to, and a
file per finished batch: a SHA-256 digest, then an `npz` archive. The digest covers the
manifest and the number of the batch too, so no file can pass for another. Nothing is
pickled: reading a store runs no code.
"""

import contextlib
import functools
import hashlib
import inspect
import io
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np


Results = dict[str, np.ndarray]
MANIFEST, LOCK, FORMAT = "manifest.json", "lock", 1
DIGEST = hashlib.sha256().digest_size


class Store:
    """The batches of one sweep, by number; made by `open_store`."""

    def __init__(self, folder: Path, manifest: bytes) -> None:
        self.folder = folder
        self.batch_size: int = json.loads(manifest)["batch_size"]
        self._manifest = manifest

    def _path(self, number: int) -> Path:
        return self.folder / f"batch-{number:08d}"

    def _digest(self, number: int, payload: bytes) -> bytes:
        name = f"{number:08d}".encode()
        return hashlib.sha256(self._manifest + name + payload).digest()

    def read(self, number: int) -> Results | None:
        """A finished batch; `None` if it is not there, or damaged (with a warning)."""
        try:
            content = self._path(number).read_bytes()
        except FileNotFoundError:
            return None
        digest, payload = content[:DIGEST], content[DIGEST:]
        if digest != self._digest(number, payload):
            warnings.warn(
                f"{self._path(number)} is damaged; this batch is computed again.",
                stacklevel=2,
            )
            return None
        with np.load(io.BytesIO(payload), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}

    def write(self, number: int, results: Results) -> None:
        """Keep a finished batch: all of it, or nothing."""
        objects = [name for name, x in results.items() if x.dtype.hasobject]
        if objects:
            raise ValueError(f"store: '{objects[0]}' holds objects; none is pickled.")
        buffer = io.BytesIO()
        np.savez(buffer, **results)  # pyright: ignore[reportArgumentType]
        payload = buffer.getvalue()
        _write(self._path(number), self._digest(number, payload) + payload)


@contextlib.contextmanager
def open_store(
    folder: Path, identity: Mapping[str, str], batch_size: Callable[[], int]
) -> Iterator[Store]:
    """The store of the sweep that `identity` describes, new or to be resumed.

    `batch_size` is asked only if the store is new. Raises `ValueError` if the folder
    holds something else, a damaged manifest, or another sweep, naming the first part of
    the identity that differs, or if another process is using it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MANIFEST
    with _locked(folder):
        if not path.exists():
            strangers = {p.name for p in folder.iterdir()} - {LOCK}
            strangers = {name for name in strangers if not name.startswith(".new-")}
            if strangers:
                raise ValueError(
                    f"store: {folder} holds {min(strangers)!r} and no manifest; it is "
                    "not the store of a sweep. Choose another folder."
                )
            document = {
                "format": FORMAT,
                "batch_size": batch_size(),
                "identity": dict(identity),
            }
            _write(path, _sealed(document))
        manifest = _unsealed(path)
        _compare(path, json.loads(manifest), identity)
        yield Store(folder, manifest)


def _sealed(document: dict[str, Any]) -> bytes:
    """A document that tells if it was changed: its digest on the second line."""
    line = json.dumps(document, sort_keys=True).encode()
    return line + b"\n" + hashlib.sha256(line).hexdigest().encode() + b"\n"


def _unsealed(path: Path) -> bytes:
    line, _, digest = path.read_bytes().partition(b"\n")
    if digest.strip() != hashlib.sha256(line).hexdigest().encode():
        raise ValueError(f"store: {path} is damaged; delete its folder to start anew.")
    return line


def _compare(path: Path, found: dict[str, Any], identity: Mapping[str, str]) -> None:
    if found.get("format") != FORMAT:
        raise ValueError(
            f"store: {path} has format {found.get('format')}; this version reads "
            f"{FORMAT}."
        )
    for name, value in identity.items():
        kept = found["identity"].get(name)
        if name == "batch_size":  # asked for now; chosen by trial or asked for then
            kept = str(found["batch_size"])
        if kept != value:
            raise ValueError(
                f"store: {path.parent} belongs to another sweep: {name} "
                f"{_difference(kept, value)}. Choose another folder, or delete it."
            )


def _difference(kept: str | None, value: str) -> str:
    """What differs, in a line: of long texts the first lines that do."""
    before, after = (str(kept)).splitlines() or [""], value.splitlines() or [""]
    pairs = [(a, b) for a, b in zip(before, after, strict=False) if a != b]
    old, new = pairs[0] if pairs else (f"{len(before)} lines", f"{len(after)} lines")
    return f"was {_short(old)!r} and is {_short(new)!r}"


def _short(text: str, most: int = 60) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _write(path: Path, content: bytes) -> None:
    """The whole file or none, also if the machine stops here."""
    handle, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Held by one process at a time, given up when it ends however it ends."""
    try:
        import fcntl
    except ImportError:  # no such lock on this system
        yield
        return
    with (folder / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ValueError(
                f"store: {folder} is in use by another process."
            ) from error
        yield


# --- what a sweep is ------------------------------------------------------------------


def code_digest() -> str:
    """A digest of the source of this package."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def run_identity(run: Any) -> str:
    """Name and source of a run function, and a digest of the arrays bound to it.

    Raises `ValueError` for a function whose source cannot be found, or that holds data
    in another way than `jax.tree_util.Partial` and fields of a module do: a store could
    not tell it from another.
    """
    function = _innermost(run)
    code = function if inspect.isroutine(function) else type(function)
    try:
        source = Path(inspect.getsourcefile(code) or "").read_bytes()
    except (OSError, TypeError) as error:
        raise ValueError(
            f"store: the source of {function!r} cannot be found; define the run "
            "function in a file."
        ) from error
    digest = hashlib.sha256(source)
    for path, leaf in jax.tree_util.tree_leaves_with_path(run):
        array = np.asarray(0 if _innermost(leaf) is function else leaf)
        if array.dtype.hasobject:
            raise ValueError(f"store: {leaf!r}, bound to the run, is not an array.")
        where = f"{jax.tree_util.keystr(path)}{array.dtype}{array.shape}"
        digest.update(where.encode() + array.tobytes())
    name = getattr(function, "__qualname__", type(function).__name__)
    return f"{function.__module__}.{name} {digest.hexdigest()[:16]}"


def _innermost(run: Any) -> Any:
    """The function inside partial and compiled ones, which holds no data of its own."""
    hides = inspect.ismethod(run) or type(run) is functools.partial
    for name in ("func", "__wrapped__"):
        if hasattr(run, name) and not hides:
            return _innermost(getattr(run, name))
    if hides or getattr(run, "__closure__", None):
        raise ValueError(
            f"store: {run!r} holds data that a store cannot tell from other data; bind "
            "them with jax.tree_util.Partial."
        )
    return run
