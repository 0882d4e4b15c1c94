"""Step and evaluation, the same for every learner; nothing here touches a disk."""

from jaxmeta.training.evaluate import evaluate, make_evaluate
from jaxmeta.training.scores import Evaluation, Score, few_shot, online
from jaxmeta.training.step import MetaState, StepInfo, init_state, make_step
from jaxmeta.training.validation import Validation

__all__ = [
    "Evaluation",
    "MetaState",
    "Score",
    "StepInfo",
    "Validation",
    "evaluate",
    "few_shot",
    "init_state",
    "make_evaluate",
    "make_step",
    "online",
]
