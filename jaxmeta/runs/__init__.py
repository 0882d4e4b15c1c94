"""The folder of a run, and all that writes and reads it."""

from jaxmeta.experiments.own import allow
from jaxmeta.runs.analyse import Analysis, analyse_run
from jaxmeta.runs.checkpoints import restore, save
from jaxmeta.runs.fit import Fitted, fit
from jaxmeta.runs.meta_test import MEMORY_TRACE, evaluate_run, evaluation_file
from jaxmeta.runs.metrics import read_metrics
from jaxmeta.runs.read import Run, read
from jaxmeta.runs.replay import Replay, replay_run
from jaxmeta.runs.run import read_config, train
from jaxmeta.runs.views.attention import AttentionView, attention_of_run
from jaxmeta.runs.views.episode import EpisodeView, episode_of_run, has_images
from jaxmeta.runs.views.look import Look, look_run
from jaxmeta.runs.views.paths import Paths, paths_of_run

__all__ = [
    "MEMORY_TRACE",
    "Analysis",
    "AttentionView",
    "EpisodeView",
    "Fitted",
    "Look",
    "Paths",
    "Replay",
    "Run",
    "allow",
    "analyse_run",
    "attention_of_run",
    "episode_of_run",
    "evaluate_run",
    "evaluation_file",
    "fit",
    "has_images",
    "look_run",
    "paths_of_run",
    "read",
    "read_config",
    "read_metrics",
    "replay_run",
    "restore",
    "save",
    "train",
]
