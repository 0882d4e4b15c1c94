"""Step and evaluation, the same for every learner; nothing here touches a disk."""

from jaxmeta.training.evaluate import Evaluation, evaluate, make_evaluate
from jaxmeta.training.step import MetaState, StepInfo, init_state, make_step
from jaxmeta.training.streams import StreamEvaluation, evaluate_stream, make_evaluate_stream
from jaxmeta.training.validation import Validation

__all__ = [
    "Evaluation",
    "MetaState",
    "StepInfo",
    "StreamEvaluation",
    "Validation",
    "evaluate",
    "evaluate_stream",
    "init_state",
    "make_evaluate",
    "make_evaluate_stream",
    "make_step",
]
