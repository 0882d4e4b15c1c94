"""jaxmeta: functional meta-learning for JAX.

A meta-learner is a tuple of four pure functions, `init`, `adapt`, `predict` and `loss`, each for
one episode; see `jaxmeta.learner`, which is the place to start reading.
"""

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING

from jaxmeta import analysis, datasets, export, losses, networks, rl, tasks
from jaxmeta.inner import rules
from jaxmeta.learner import Episode, Examples, Learner, make_episode
from jaxmeta.learners.gradient import (
    anil,
    cavia,
    fomaml,
    imaml,
    learned_optimizer,
    maml,
    maml_plus_plus,
    meta_lstm,
    meta_sgd,
    reptile,
)
from jaxmeta.learners.hyper import conditional, hypernetwork, hypertransformer
from jaxmeta.learners.memory import mann, meta_networks, snail
from jaxmeta.learners.metric import matching, prototypical, relation, ridge, siamese
from jaxmeta.net import Net
from jaxmeta.nnx_modules import from_nnx
from jaxmeta.runs import fit, restore, save
from jaxmeta.training import evaluate, evaluate_stream, init_state, make_step
from jaxmeta.transforms import one_query_at_a_time, transductive

__version__ = version("jaxmeta")

if TYPE_CHECKING:
    from jaxmeta.estimator import FewShotClassifier, FewShotRegressor

__all__ = [
    "Episode",
    "Examples",
    "FewShotClassifier",
    "FewShotRegressor",
    "Learner",
    "Net",
    "analysis",
    "anil",
    "cavia",
    "conditional",
    "datasets",
    "evaluate",
    "evaluate_stream",
    "export",
    "fit",
    "fomaml",
    "from_nnx",
    "hypernetwork",
    "hypertransformer",
    "imaml",
    "init_state",
    "learned_optimizer",
    "losses",
    "make_episode",
    "make_step",
    "maml",
    "maml_plus_plus",
    "mann",
    "matching",
    "meta_lstm",
    "meta_networks",
    "meta_sgd",
    "networks",
    "one_query_at_a_time",
    "prototypical",
    "relation",
    "reptile",
    "restore",
    "ridge",
    "rl",
    "rules",
    "save",
    "siamese",
    "snail",
    "tasks",
    "transductive",
]


def __getattr__(name: str):
    # scikit-learn takes a second to import, which only those who fit an estimator should wait.
    if name in ("FewShotClassifier", "FewShotRegressor"):
        return getattr(importlib.import_module("jaxmeta.estimator"), name)
    raise AttributeError(f"module 'jaxmeta' has no attribute {name!r}")
