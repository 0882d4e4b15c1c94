"""Settings of the test run: programs are compiled quickly, and kept between runs."""

import os
from pathlib import Path

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
os.environ.setdefault("NPROC", "16")  # JAX 0.8 to 0.10.2 hangs with two devices on two cores.
os.environ.setdefault("MPLBACKEND", "agg")
# Compiling is most of the work here: less of it per program. The fixture `optimised` turns all of
# it on again where that matters, and JAX_DISABLE_MOST_OPTIMIZATIONS=0 does for a whole run.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import hypothesis
import jax
import pytest

QUICK = os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] not in ("0", "false")
CACHE = Path(__file__).resolve().parents[1] / ".jax_cache"
jax.config.update("jax_compilation_cache_dir", os.environ.get("JAX_CACHE_DIR", str(CACHE)))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """What JAX keeps of every program it lowered makes each next one slower to lower."""
    yield
    jax.clear_caches()


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def strict_ranks():
    """`[M, N] + [N]` is refused: it has to say along which axis, as in `+ bias[None]`."""
    with jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture
def optimised():
    """Programs as users get them: for what optimisation may break, or is to achieve."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", QUICK)


# JAXMETA_FUZZ_CASES=5000 pytest tests/test_fuzz_*.py tries other cases each time, and many.
CASES = os.environ.get("JAXMETA_FUZZ_CASES")
hypothesis.settings.register_profile(
    "jaxmeta",
    max_examples=int(CASES or 300),
    derandomize=CASES is None,
    deadline=None,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
hypothesis.settings.load_profile("jaxmeta")
