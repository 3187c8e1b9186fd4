"""Strict numerics for every test: double precision, no silent promotion."""

import functools
import gc
import os
from pathlib import Path


os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Compiling takes most of the time of small runs: XLA's older emitters, a module a
# program, take a fourth of it. Slow tests are compiled as users do, in .ci/nightly.
if os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1") == "1":
    os.environ.setdefault(
        "XLA_FLAGS",
        "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
    )

import jax
import jaxtyping
import pytest
from jax._src.interpreters import mlir


MOST = 5e9  # bytes
gc.set_threshold(50_000)  # tracing makes many objects and few circles
# A context of MLIR for each program is a fifth of the time of small ones, and stays in
# memory: one serves all but those that are made within another. Not as users have it.
fresh, shared = mlir.make_ir_context, functools.cache(mlir.make_ir_context)
if os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1":
    mlir.make_ir_context = lambda: fresh() if mlir.ir.Context.current else shared()
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(autouse=True, scope="module")
def room():
    """Compiled programs stay in memory: half of a machine's for two workers."""
    yield
    told = Path("/proc/self/statm")  # in pages, on Linux
    pages = int(told.read_text().split()[1]) if told.exists() else 0
    if pages * os.sysconf("SC_PAGE_SIZE") > MOST:
        jax.clear_caches()
        shared.cache_clear()
        gc.collect()


@pytest.fixture
def unchecked():
    """As users run it: what types do not catch, the code itself must."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
