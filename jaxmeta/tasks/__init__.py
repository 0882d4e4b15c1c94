"""Tasks: each gives `sample(key) -> Episode`, pure and jittable."""

from jaxmeta.tasks._episodes import episodes
from jaxmeta.tasks._gaussian_process import gaussian_process
from jaxmeta.tasks._quadratic import quadratic
from jaxmeta.tasks._sinusoid import sinusoid

__all__ = ["episodes", "gaussian_process", "quadratic", "sinusoid"]
