"""Training and evaluation, the same for every learner."""

from jaxmeta.training.checkpoint import restore, save
from jaxmeta.training.evaluate import Evaluation, evaluate, make_evaluate
from jaxmeta.training.fit import Fitted, Validation, fit
from jaxmeta.training.metrics import read_metrics
from jaxmeta.training.step import MetaState, StepInfo, init_state, make_step
from jaxmeta.training.streams import StreamEvaluation, evaluate_stream, make_evaluate_stream

__all__ = [
    "Evaluation",
    "Fitted",
    "MetaState",
    "StepInfo",
    "StreamEvaluation",
    "Validation",
    "evaluate",
    "evaluate_stream",
    "fit",
    "init_state",
    "make_evaluate",
    "make_evaluate_stream",
    "make_step",
    "read_metrics",
    "restore",
    "save",
]
