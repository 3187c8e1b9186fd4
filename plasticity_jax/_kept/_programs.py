"""Compiled programs that calls of the command line leave for the next one."""

import atexit
import contextlib
import hashlib
import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

from .._version import __version__


LIMIT = 2**28  # bytes of all that is kept
STALE = 7 * 24 * 3600  # seconds after which a call that left its folder is over
WORK = ".call-"
# A program is compiled for one processor: these lines of Linux say which.
PROCESSOR = ("vendor_id", "cpu family", "model", "flags", "Features", "CPU")
SETTINGS = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES": "none",  # their path enters JAX's key
}
# At every load XLA tells of its own tuning hints as features that the processor lacks.
LOG_LEVEL, QUIET = "TF_CPP_MIN_LOG_LEVEL", "3"


def keep_programs() -> None:
    """Let JAX, which is not loaded yet, take and leave its programs in a user's cache.

    Only links to what is kept stand in the folder that JAX reads and writes, which is
    this call's own; what it adds moves to the others at the end, each file at once. So
    calls that run together never read what is half written. A user's own setting,
    `JAX_COMPILATION_CACHE_DIR`, wins. Where nothing can be written, a line says so.

        keep_programs()
        import jax
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or "jax" in sys.modules:
        return
    try:
        work, kept = _linked(_folder())
    except OSError as error:
        print(f"no compiled programs are kept: {error}", file=sys.stderr)
        return
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(work)
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if os.environ.get(LOG_LEVEL, "1") == "1":  # what JAX itself sets
        os.environ[LOG_LEVEL] = QUIET
    atexit.register(_publish, work, kept)


def _folder() -> Path:
    """Where programs of these versions for this processor are kept."""
    import pooch

    versions = f"{__version__}-jax{importlib.metadata.version('jaxlib')}"
    home = Path(pooch.os_cache("plasticity_jax")) / "programs"
    return home / f"{versions}-{_processor()}"


def _processor() -> str:
    """A digest of the processor's kind and features, else of the machine's name."""
    lines = {platform.machine()}
    with contextlib.suppress(OSError):
        told = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
        lines |= {line for line in told if line.startswith(PROCESSOR)}
    if len(lines) == 1:
        lines.add(platform.node())
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


def _linked(kept: Path) -> tuple[Path, Path]:
    """A folder for this call, with a link to every file that is kept."""
    kept.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=WORK, dir=kept.parent))
    for entry in os.scandir(kept):
        with contextlib.suppress(FileNotFoundError):  # another call made room
            os.link(entry.path, work / entry.name)
    return work, kept


def _publish(work: Path, kept: Path) -> None:
    """Move what a call has added to what is kept, and make room.

    A full disk may have cut a file of JAX's: then nothing moves, and the next call
    compiles anew.
    """
    with contextlib.suppress(OSError):
        if shutil.disk_usage(kept).free > LIMIT:
            for path in work.iterdir():
                path.replace(kept / path.name)
        _make_room(kept.parent)
    shutil.rmtree(work, ignore_errors=True)


def _make_room(home: Path) -> None:
    """Remove what was not used for longest, of all versions, and folders left over."""
    for work in home.glob(f"{WORK}*"):
        if time.time() - work.stat().st_mtime > STALE:
            shutil.rmtree(work, ignore_errors=True)
    files = [(path.stat(), path) for path in home.glob("[!.]*/*")]
    total = sum(stat.st_size for stat, _ in files)
    for stat, path in sorted(files, key=lambda x: max(x[0].st_atime, x[0].st_mtime)):
        if total <= LIMIT:
            break
        path.unlink(missing_ok=True)
        total -= stat.st_size
