"""jaxmeta: functional meta-learning for JAX.

A meta-learner is a tuple of four pure functions, `init`, `adapt`, `predict` and `loss`, each for
one episode; see `jaxmeta.learner`, which is the place to start reading.
"""

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from jaxmeta import analysis, datasets, export, losses, networks, rl, tasks
from jaxmeta.inner import rules
from jaxmeta.learner import Episode, Examples, Learner, Stream, Trainable, make_episode
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
from jaxmeta.training import evaluate, few_shot, init_state, make_step, online
from jaxmeta.transforms import one_query_at_a_time, transductive

__version__ = version("jaxmeta")

if TYPE_CHECKING:
    from jaxmeta import plots, recipes, runs
    from jaxmeta.estimator import FewShotClassifier, FewShotRegressor
    from jaxmeta.runs.checkpoints import restore, save
    from jaxmeta.runs.fit import fit

__all__ = [
    "Episode",
    "Examples",
    "FewShotClassifier",
    "FewShotRegressor",
    "Learner",
    "Net",
    "Stream",
    "Trainable",
    "analysis",
    "anil",
    "cavia",
    "conditional",
    "datasets",
    "evaluate",
    "export",
    "few_shot",
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
    "online",
    "plots",
    "prototypical",
    "recipes",
    "relation",
    "reptile",
    "restore",
    "ridge",
    "rl",
    "rules",
    "runs",
    "save",
    "siamese",
    "snail",
    "tasks",
    "transductive",
]

# Where names are that are imported when first asked for: scikit-learn, Orbax and matplotlib take a
# second, which who writes or tests a learner should not wait.
_LATER = {
    "FewShotClassifier": "jaxmeta.estimator",
    "FewShotRegressor": "jaxmeta.estimator",
    "fit": "jaxmeta.runs",
    "restore": "jaxmeta.runs",
    "save": "jaxmeta.runs",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    if name in ("plots", "recipes", "runs"):
        return importlib.import_module(f"jaxmeta.{name}")
    raise AttributeError(f"module 'jaxmeta' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
