"""The analysis of a trained run: its meta-gradient, and the curvature it lives in."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import analysis
from jaxmeta.learner import Examples
from jaxmeta.losses import mean_loss
from jaxmeta.net import as_net
from jaxmeta.runs.checkpoints import write_json
from jaxmeta.runs.run import META_TEST, load_best, read_config, seed_key
from jaxmeta.transforms import transductive

ANALYSIS = "analysis.json"
MINIBATCHES, ORDER = 4, 30
INNER_STEPS = (1, 2, 5, 10)
# Shares of the rate at which the learner adapts.
RATES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)


class Analysis(NamedTuple):
    """Of one task of meta_test."""

    expansions: dict[str, analysis.Expansion]  # untrained, trained
    spectra: dict[str, analysis.Spectrum]  # task loss before, after adaptation; any meta-loss
    costs: analysis.EstimatorCosts
    check: analysis.GradientCheck


def analyse_run(run_dir: str | Path) -> Analysis:
    """Analyses the best parameters of a run on one task of meta_test; writes `analysis.json`.

    Raises:
      FileNotFoundError: the folder holds no run, or a run without a checkpoint.
      ValueError: its learner does not adapt the plain weights of a net.
    """
    name, recipe = read_config(run_dir)
    lr = recipe.learner.analysed_lr
    if lr is None:
        raise ValueError(
            f"analyse needs a learner that adapts the weights of a net from params.net, "
            f"got recipe {name!r}."
        )
    key = seed_key(recipe, META_TEST)
    experiment, start, params, _, _ = load_best(run_dir, recipe)

    loss_fn: Any = recipe.task.loss_fn  # of episodes, of which agents have none
    net = as_net(recipe.net.build(recipe.task.n_outputs))

    def task_loss(weights, examples):
        return mean_loss(loss_fn, net.apply(weights, examples.x), examples)

    key_task, key_rows, key_learner, key_probe = jax.random.split(key, 4)
    episode = next(iter(experiment.meta_test.values()))(key_task)
    batches = _minibatches(key_rows, episode)
    expansions = {
        label: _double(analysis.expansion)(
            task_loss, weights.net, batches, inner_lrs=[lr * share for share in RATES]
        )
        for label, weights in (("untrained", start), ("trained", params))
    }
    learner = transductive(experiment.at_test)  # The weights alone, without statistics.
    adapted = learner.adapt(params, key_learner, episode.support)
    losses = {
        "task loss before adaptation": (lambda w: task_loss(w, episode.support), params.net),
        "task loss after adaptation": (lambda w: task_loss(w, episode.support), adapted),
    }
    if recipe.learner.is_second_order:

        def meta_loss(weights):
            moved = params._replace(net=weights)
            return experiment.learner.loss(moved, key_learner, episode)[0]

        losses["meta-loss"] = meta_loss, params.net
    spectra = {
        label: analysis.hessian_spectrum(loss, weights, key_probe, order=ORDER)
        for label, (loss, weights) in losses.items()
    }
    costs = analysis.estimator_costs(
        lambda weights: task_loss(weights, episode.support),
        lambda weights: task_loss(weights, episode.query),
        params.net,
        inner_steps=INNER_STEPS,
        inner_lrs=[lr],
    )
    check = analysis.check_meta_gradient(experiment.learner, params, key_learner, episode)
    result = Analysis(expansions, spectra, costs, check)
    write_json(Path(run_dir) / ANALYSIS, {"recipe": name, **_plain(result._asdict())})
    return result


def _minibatches(key: jax.Array, episode: Any) -> Examples:
    """All rows of a task in random order, in equal minibatches `[k, rows, ...]`."""
    x, y = (jnp.concatenate([getattr(part, name) for part in episode]) for name in ("x", "y"))
    rows = len(x) // MINIBATCHES
    order = jax.random.permutation(key, len(x))[: MINIBATCHES * rows]
    return Examples(*(leaf[order].reshape(MINIBATCHES, rows, *leaf.shape[1:]) for leaf in (x, y)))


def _double(function):
    """The function in float64, where the residuals of an expansion can be seen."""

    def call(*args, **settings):
        with jax.enable_x64(True):
            args = jax.tree.map(
                lambda leaf: leaf.astype(jnp.float64) if isinstance(leaf, jax.Array) else leaf, args
            )
            return function(*args, **settings)

    return call


def _plain(value):
    """Numbers, lists and dicts, for JSON."""
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return np.asarray(value).tolist()
