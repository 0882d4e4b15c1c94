"""Compiled programs kept from one command to the next."""

import hashlib
import platform
from pathlib import Path

import jax

from jaxmeta.datasets import data_home

LEAST_SECONDS = 0.2  # of compilation, for a program to be kept


def keep_programs() -> None:
    """Keeps compiled programs in the user's cache folder, unless JAX was told of another one.

    Turned off with `JAX_ENABLE_COMPILATION_CACHE=0`. Machines that share the folder share programs
    only where their processors have the same instructions.
    """
    # JAX makes its options attributes as it starts, so type checkers do not see them.
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        folder = data_home() / "programs" / _processor()
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", LEAST_SECONDS)


def _processor():
    """A name for the instructions of this processor; JAX's own key does not tell them apart."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else [platform.processor()]
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), lines[0])
    return f"{platform.machine()}-{hashlib.sha256(flags.encode()).hexdigest()[:8]}"
