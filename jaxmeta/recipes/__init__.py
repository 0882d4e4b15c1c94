"""One named experiment per published setting, and what runs one from Python."""

from jaxmeta.experiments import Recipe, build
from jaxmeta.recipes.catalogue import ALL, find
from jaxmeta.runs import evaluate_run, read_config, train

__all__ = ["ALL", "Recipe", "build", "evaluate_run", "find", "read_config", "train"]
