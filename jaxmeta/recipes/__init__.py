"""One named experiment per published setting."""

from jaxmeta.recipes._all import ALL, find
from jaxmeta.recipes._analyse import Analysis, analyse_run
from jaxmeta.recipes._episode import EpisodeView, episode_of_run, has_images
from jaxmeta.recipes._evaluate import MEMORY_TRACE, evaluate_run, evaluation_file
from jaxmeta.recipes._experiment import Experiment, build, use_all_cores
from jaxmeta.recipes._in_context_look import AttentionView, attention_of_run
from jaxmeta.recipes._look import Look, look_run
from jaxmeta.recipes._recipe import Recipe
from jaxmeta.recipes._replay import Replay, replay_run
from jaxmeta.recipes._returns import Paths, paths_of_run
from jaxmeta.recipes._run import read_config, train

__all__ = [
    "ALL",
    "MEMORY_TRACE",
    "Analysis",
    "AttentionView",
    "EpisodeView",
    "Experiment",
    "Look",
    "Paths",
    "Recipe",
    "Replay",
    "analyse_run",
    "attention_of_run",
    "build",
    "episode_of_run",
    "evaluate_run",
    "evaluation_file",
    "find",
    "has_images",
    "look_run",
    "paths_of_run",
    "read_config",
    "replay_run",
    "train",
    "use_all_cores",
]
