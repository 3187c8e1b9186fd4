"""Finished batches of a sweep on disk: written whole, checksummed, resumed.

A store is a folder with `manifest.json`, which says what sweep it belongs to, and a
file per finished batch: a SHA-256 digest, then an `npz` archive. The digest covers the
manifest and the number of the batch too, so no file can pass for another. Nothing is
pickled: reading a store runs no code.
"""

import contextlib
import hashlib
import io
import itertools
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np


Results = dict[str, np.ndarray]
MANIFEST, LOCK, FORMAT = "manifest.json", "lock", 2
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
            parts = [(*entry.partition("|"), archive[entry]) for entry in archive.files]
        return {name: x.view(jnp.dtype(kind)) for kind, _, name, x in parts}

    def write(self, number: int, results: Results) -> None:
        """Keep a finished batch: all of it, or nothing.

        NumPy would forget what bfloat16 and its like are: the name of an entry begins
        with its type, and their bits are saved.
        """
        packed: dict[str, Any] = {}
        for name, x in results.items():
            if x.dtype.hasobject:
                raise ValueError(f"store: '{name}' holds objects; none is pickled.")
            bits = x.dtype if x.dtype.isbuiltin else f"u{x.dtype.itemsize}"
            packed[f"{x.dtype.name}|{name}"] = x.view(bits)
        buffer = io.BytesIO()
        np.savez(buffer, **packed)
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
    with locked(folder):
        if not path.exists():
            names = [p.name for p in folder.iterdir() if p.name != LOCK]
            if strangers := [x for x in names if not x.startswith(".new-")]:
                raise ValueError(
                    f"store: {folder} holds {min(strangers)!r} and no manifest; it is "
                    "not the store of a sweep. Choose another folder."
                )
            document = {"format": FORMAT, "identity": dict(identity)}
            _write(path, _sealed({**document, "batch_size": batch_size()}))
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
    if (kind := found.get("format")) != FORMAT:
        raise ValueError(
            f"store: {path} has format {kind}; this version reads {FORMAT}."
        )
    for name, value in identity.items():
        kept = found["identity"].get(name)
        if name == "batch_size":  # asked for now; chosen by trial or asked for then
            kept = str(found["batch_size"])
        if kept != value:
            raise ValueError(
                f"store: {path.parent} belongs to another sweep: {name} "
                f"{difference(kept, value)}. Ask for the same, choose another folder, "
                "or delete it."
            )


def difference(kept: str | None, value: str) -> str:
    """What differs, in a line: of long texts the first lines that do."""
    lines = itertools.zip_longest(str(kept).splitlines(), value.splitlines())
    old, new = next(((a or "", b or "") for a, b in lines if a != b), ("", ""))
    unlike = (i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b)
    same = next(unlike, min(len(old), len(new)))
    return f"was {_short(old, same)!r} and is {_short(new, same)!r}"


def _short(text: str, same: int) -> str:
    """At most 60 letters, from some before the first that differs."""
    if len(text) > 60 and same > 40:
        text = "..." + text[same - 40 :]
    return text if len(text) <= 60 else text[:57] + "..."


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
def locked(folder: Path) -> Iterator[None]:
    """A folder, made if need be, held by one process until it ends, however it ends.

    Raises `ValueError` if another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # no such lock on this system
        folder.mkdir(parents=True, exist_ok=True)
        yield
        return
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            file = (folder / LOCK).open("a")
        except FileNotFoundError:  # the folder was removed just now
            continue
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ValueError(
                    f"store: {folder} is in use by another process."
                ) from error
            if _is_there(file, folder / LOCK):
                yield
                return


def _is_there(file: Any, path: Path) -> bool:
    """Whether an open file is still the one at `path`, not one removed meanwhile."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def emptied(folder: Path) -> None:
    """Remove all of a folder but its lock, which the caller holds."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()
