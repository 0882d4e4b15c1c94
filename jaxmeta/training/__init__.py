"""Training and evaluation, the same for every learner."""

from jaxmeta.training.evaluate import Evaluation, evaluate
from jaxmeta.training.step import MetaState, StepInfo, init_state, make_step

__all__ = ["Evaluation", "MetaState", "StepInfo", "evaluate", "init_state", "make_step"]
