"""One named experiment per published setting."""

from jaxmeta.recipes._all import ALL, find
from jaxmeta.recipes._analyse import Analysis, analyse_run
from jaxmeta.recipes._experiment import Experiment, build, use_all_cores
from jaxmeta.recipes._recipe import Recipe
from jaxmeta.recipes._run import MEMORY_TRACE, evaluate_run, read_config, train

__all__ = [
    "ALL",
    "MEMORY_TRACE",
    "Analysis",
    "Experiment",
    "Recipe",
    "analyse_run",
    "build",
    "evaluate_run",
    "find",
    "read_config",
    "train",
    "use_all_cores",
]
