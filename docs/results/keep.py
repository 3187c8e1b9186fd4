"""Keep results of `plasticity-jax run` in the repository, without their data.

    python docs/results/keep.py [--note TEXT] FOLDER...

Each FOLDER is a result (`runs/<system>.<experiment>`). What is kept of it lies beside
this file: `verdict.json`, `config.toml`, a picture of at most 150 kB, and `about.json`:
preset, versions, date, wall and CPU time of data and control, and a digest of every
claim, by which `tests/test_kept_results.py` sees that it has changed since. The note
says what a reader must know, such as what a larger preset would cost.
"""

import argparse
import hashlib
import inspect
import io
import json
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import CodeType
from typing import Any

from PIL import Image

from plasticity_jax import systems
from plasticity_jax.experiment import Claim


HERE = Path(__file__).parent
PACKAGE = systems.__name__
LARGEST = 150_000
COPIED = "verdict.json", "config.toml"
VERSIONS = "plasticity_jax", "jax", "device", "precision", "key_kind", "date"
SECONDS = "wall_seconds", "cpu_seconds"
EXAMPLE = re.compile(r'^ *>>> .*?(?=""")', re.MULTILINE | re.DOTALL)


def digests(claims: Sequence[Claim]) -> dict[str, str]:
    """A digest of each claim: its texts, its interval, and the source of its measure.

    With the functions of its system that it calls by name; blanks do not count, nor do
    examples at the end of docstrings.
    """
    return {claim.name: _digest(claim) for claim in claims}


def _digest(claim: Claim) -> str:
    functions = {id(f): f for field in claim for f in _reached(field)}
    sources = sorted(EXAMPLE.sub("", inspect.getsource(f)) for f in functions.values())
    plain = [repr(field) for field in claim if not callable(field)]
    text = "".join("".join([*plain, *sources]).split())
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _reached(function: Any, seen: tuple[Any, ...] = ()) -> Iterator[Callable[..., Any]]:
    """The function and those of the systems that its code names, each of them so."""
    if not inspect.isfunction(function):
        return
    function = inspect.unwrap(function)  # of what the tests check annotations with
    if not function.__module__.startswith(PACKAGE) or function in seen:
        return
    yield function
    for name in _named(function.__code__):
        yield from _reached(function.__globals__.get(name), (*seen, function))


def _named(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _named(inner)


def picture(path: Path) -> bytes:
    """A PNG of 64 colours, as wide as `LARGEST` allows, 1200 at most."""
    whole = Image.open(path).convert("RGB")
    for width in range(min(1200, whole.width), 0, -100):
        size = width, round(whole.height * width / whole.width)
        smaller = whole.resize(size, Image.Resampling.LANCZOS).quantize(64)
        smaller.save(written := io.BytesIO(), "PNG", optimize=True)
        if written.tell() <= LARGEST:
            return written.getvalue()
    raise ValueError(f"{path}: no picture of {LARGEST} bytes.")


def keep(result: Path, note: str) -> None:
    """Keep one result; an older one of the experiment gives way."""
    named, _, _ = systems.find(str(result / "config.toml"))
    attributes = [
        json.loads((result / part / ".zattrs").read_text("utf-8"))
        for part in ("data.zarr", "control.zarr")
    ]
    config = tomllib.loads((result / "config.toml").read_text("utf-8"))
    about = {"preset": config["from_preset"]}
    about |= {name: attributes[0][name] for name in VERSIONS if name in attributes[0]}
    about |= {x: round(sum(part[x] for part in attributes), 1) for x in SECONDS}
    about |= {"note": note} if note else {}
    about |= {"claims": digests(named.experiment.claims)}
    drawn = picture(result / "figure.png")
    place = HERE / named.name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for name in COPIED:
        shutil.copy(result / name, place / name)
    (place / "figure.png").write_bytes(drawn)
    (place / "about.json").write_text(json.dumps(about, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--note", default="")
    given = parser.parse_args()
    for folder in given.folders:
        keep(folder, given.note)
