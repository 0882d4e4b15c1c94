"""jaxmeta: functional meta-learning for JAX.

A meta-learner is a tuple of four pure functions, `init`, `adapt`, `predict` and `loss`, each for
one episode; see `jaxmeta.learner`, which is the place to start reading.
"""

from jaxmeta import analysis, datasets, losses, networks, rl, tasks
from jaxmeta.inner import rules
from jaxmeta.learner import Episode, Examples, Learner, from_nnx, make_episode
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
from jaxmeta.runs import fit, restore, save
from jaxmeta.training import evaluate, evaluate_stream, init_state, make_step

__all__ = [
    "Episode",
    "Examples",
    "Learner",
    "analysis",
    "anil",
    "cavia",
    "conditional",
    "datasets",
    "evaluate",
    "evaluate_stream",
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
]
