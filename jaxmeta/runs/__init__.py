"""The folder of a run, and all that writes and reads it."""

from jaxmeta.experiments.own import allow
from jaxmeta.runs.analyse import Analysis, analyse_run
from jaxmeta.runs.checkpoints import restore, save
from jaxmeta.runs.compare import Comparison, compare, short_names
from jaxmeta.runs.fit import Fitted, fit
from jaxmeta.runs.grid import GRID, TABLE, Grid, OverSeeds, Setting, over_seeds, train_grid
from jaxmeta.runs.meta_test import AGAIN, MEMORY_TRACE, evaluate_run, evaluation_file
from jaxmeta.runs.metrics import read_metrics
from jaxmeta.runs.parameters import PARAMS
from jaxmeta.runs.publish import publish
from jaxmeta.runs.read import Run, read
from jaxmeta.runs.replay import Replay, replay_run
from jaxmeta.runs.run import read_config, train
from jaxmeta.runs.views.attention import AttentionView, attention_of_run
from jaxmeta.runs.views.episode import EpisodeView, episode_of_run, has_images
from jaxmeta.runs.views.look import Look, look_run
from jaxmeta.runs.views.paths import Paths, paths_of_run

__all__ = [
    "AGAIN",
    "GRID",
    "MEMORY_TRACE",
    "PARAMS",
    "TABLE",
    "Analysis",
    "AttentionView",
    "Comparison",
    "EpisodeView",
    "Fitted",
    "Grid",
    "Look",
    "OverSeeds",
    "Paths",
    "Replay",
    "Run",
    "Setting",
    "allow",
    "analyse_run",
    "attention_of_run",
    "compare",
    "episode_of_run",
    "evaluate_run",
    "evaluation_file",
    "fit",
    "has_images",
    "look_run",
    "over_seeds",
    "paths_of_run",
    "publish",
    "read",
    "read_config",
    "read_metrics",
    "replay_run",
    "restore",
    "save",
    "short_names",
    "train",
    "train_grid",
]
