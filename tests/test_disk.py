"""Folders that cannot be written and disks that run full."""

import contextlib
import errno
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from test_cli import command

from plasticity_jax._sweep._store import Store


NAME = "optimal_plasticity.fig5s1"
RUN = ("run", NAME, "--preset", "smoke", "--set", "steps=100")
NOBODY = 65534


@pytest.fixture(autouse=True)
def four_at_once(monkeypatch):
    """One compilation a sweep: how a batch size is chosen has tests of its own."""
    monkeypatch.setattr(
        "plasticity_jax._sweep._sweep.chosen_size", lambda lanes, workers: 4
    )


@pytest.fixture
def call(monkeypatch, capsys):
    return lambda *tokens: command(monkeypatch, capsys, *tokens)


@pytest.fixture
def written(monkeypatch):
    """Parts and numbers of the batches that are written."""
    numbers, write = [], Store.write

    def kept(self, number, results):
        write(self, number, results)
        numbers.append((self.folder.name, number))

    monkeypatch.setattr(Store, "write", kept)
    return numbers


@pytest.fixture
def folder():
    """One that every user may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextlib.contextmanager
def closed(folder):
    """No writing in this folder."""
    user = os.geteuid()
    folder.chmod(0o555)
    if user == 0:  # may write anywhere
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)
        folder.chmod(0o755)


def is_one_line(err, *parts):
    last = err.splitlines()[-1]
    return last.startswith("error: ") and all(part in last for part in parts)


@pytest.mark.parametrize("below", ["", "new/folder"])
def test_a_read_only_folder_is_refused_before_anything_is_computed(
    call, folder, below, monkeypatch
):
    opened = tempfile.TemporaryFile

    def closing(**options):
        with closed(folder):  # no longer: another user may not read our modules
            return opened(**options)

    monkeypatch.setattr("plasticity_jax.experiment._run.perform", None)
    monkeypatch.setattr(tempfile, "TemporaryFile", closing)
    code, _, err = call(*RUN, "--out", folder / below)
    assert code == 2
    assert is_one_line(err, f"--out {folder / below}: cannot write there", "denied")
    assert err.count("\n") == 1
    assert not list(folder.iterdir())


@pytest.mark.dear
def test_a_folder_that_becomes_read_only_costs_no_finished_batch(
    call, folder, written, monkeypatch
):
    write = Store.write

    def closing(self, number, results):
        shut = closed(self.folder) if len(written) == 2 else contextlib.nullcontext()
        with shut:
            write(self, number, results)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", closing)
        code, _, err = call(*RUN, "--out", folder)
    assert (code, len(written)) == (2, 2), err
    assert is_one_line(err, "Permission denied")
    resumed(call, folder, written)


def resumed(call, out, written):
    """Goes on to its end; nothing is computed twice or left behind."""
    code, _, err = call(*RUN, "--out", out, "--resume")
    assert code in (0, 1), err
    assert len(written) == len(set(written))
    assert [p.name for p in out.iterdir()] == [NAME]


@pytest.mark.dear
def test_a_disk_that_is_full_leaves_a_store_to_resume(
    call, tmp_path, written, monkeypatch
):
    sync = os.fsync

    def full(handle):
        if len(written) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        code, _, err = call(*RUN, "--out", tmp_path)
    assert (code, len(written)) == (2, 3), err
    assert is_one_line(err, "No space left on device")
    assert not list(tmp_path.rglob(".new-*"))
    resumed(call, tmp_path, written)


LIMITED = """
import resource, sys
import jaxtyping  # as pytest does: it changes the code, and so what a store compares
jaxtyping.install_import_hook("plasticity_jax", "beartype.beartype")
from plasticity_jax import cli
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))
sys.argv = ["plasticity-jax", *sys.argv[1:]]
cli.main()
"""


@pytest.mark.slow
def test_a_result_that_does_not_fit_leaves_the_older_one_whole(call, tmp_path, written):
    """Batches and manifests fit the system's limit on a file, the picture does not."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    call(*RUN, "--out", tmp_path)
    result = tmp_path / NAME
    before = {p: p.read_bytes() for p in result.rglob("*") if p.is_file()}
    written.clear()
    # -B: Python itself would leave modules cut short at the limit beside our source
    done = subprocess.run(
        [sys.executable, "-B", "-c", LIMITED, *RUN, "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "JAX_ENABLE_X64": "1"},
    )
    assert done.returncode == 2, done.stderr
    assert is_one_line(done.stderr, "File too large")
    assert {p: p.read_bytes() for p in result.rglob("*") if p.is_file()} == before
    assert sorted(p.name for p in tmp_path.iterdir()) == [f".{NAME}.store", NAME]
    resumed(call, tmp_path, written)
    assert not written
