"""Meta-test: mean, interval and per-episode results over reproducible episodes."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.checks import at_least
from jaxmeta.doors import check_key, check_params, check_sample
from jaxmeta.learner import Key, Params, Trainable
from jaxmeta.training.intervals import Ci, estimator, is_traced
from jaxmeta.training.scores import Evaluation, Score, chosen
from jaxmeta.training.tracing import jit_passing_constants


def evaluate(
    learner: Trainable,
    params: Any,
    sample: Callable[[jax.Array], Any],
    *,
    n_episodes: int,
    key: jax.Array,
    transductive: bool = False,
    metric: Callable | None = None,
    score: Score | None = None,
    episodes_at_once: int | None = None,
    ci: Ci = "normal",
) -> Evaluation:
    """Tests a learner or an agent on episodes never seen.

    Episode i has the key `fold_in(key, i)`, so two learners meet the same episodes.

    Beside the score stand, over all labelled queries of the test together, the expected calibration
    error in 15 bins (Guo et al. 2017) and the log-loss, the mean negative log-likelihood in nats.
    Both take the outputs as logits, the probabilities being their softmax (of one column the
    sigmoid). They are NaN where a labelled query is not one-hot (in one column, 0 or 1), as in a
    regression or where labels are strings; where the outputs do not have the shape of the labels;
    and of agents. A learner trained by another loss than the cross-entropy of its softmax, such as
    `relation`, gives logits too, which nothing has taught to be probabilities.

    Args:
      learner: any learner; for `rl.acting` and `rl.likelihood` any agent.
      params: its meta-parameters.
      sample: `key -> Episode`, jittable; `key -> Stream` (`tasks.streams`) for `online`, `key ->
        task` for agents.
      n_episodes: number of episodes; of one the interval is not known, and is NaN.
      key: seed of the episodes.
      transductive: False tests `jaxmeta.one_query_at_a_time(learner)`: batch statistics come from
        the support set (for learners that keep none, from the support set plus that query). True
        tests `jaxmeta.transductive(learner)`: batch normalisation uses the query set's, as in many
        papers; a warning says so where both are the same, for want of batch statistics.
      metric: short for `score=few_shot(metric)`: `(outputs, query examples) -> scalar`, such as
        `jaxmeta.losses.squared_error` for regression.
      score: what is measured: `few_shot()` by default, `online()` on streams, and of agents
        `rl.acting()` or `rl.likelihood()`.
      episodes_at_once: episodes batched together by `vmap`; None: as many as the score says.
      ci: the 95% interval. "normal": 1.96 standard errors each way. "bootstrap": percentiles of the
        mean over 10 000 resamples of the episodes, the same resamples in every call; some
        seconds for 10 000 episodes, on the host.

    Raises:
      ValueError: `n_episodes` or `episodes_at_once` is below 1, `metric` does not give a scalar,
        `metric` and `score` are both given, `ci` is another word, or `transductive` meets a score
        without query sets.
      TypeError: `learner`, `sample`, `params` or `key` is something else.
      FloatingPointError: a prediction or a return is not finite, or the metric of finite ones is
        not, as accuracy of a regression.

    Example:
      >>> import jax, jaxmeta, optax
      >>> sample = jaxmeta.tasks.sinusoid()
      >>> net = jaxmeta.networks.mlp(1, hidden=(8,))
      >>> learner = jaxmeta.maml(net, inner_steps=1, loss_fn=optax.squared_error)
      >>> key = jax.random.key(0)
      >>> params = learner.init(key, sample(key))
      >>> metric = jaxmeta.losses.squared_error
      >>> result = jaxmeta.evaluate(learner, params, sample, n_episodes=4, key=key, metric=metric)
      >>> result.per_episode.shape, bool(result.interval > 0)
      ((4,), True)
    """
    run = make_evaluate(
        learner,
        sample,
        n_episodes=n_episodes,
        transductive=transductive,
        metric=metric,
        score=score,
        episodes_at_once=episodes_at_once,
        ci=ci,
    )
    return run(params, key)


def make_evaluate(
    learner: Trainable,
    sample: Callable[[jax.Array], Any],
    *,
    n_episodes: int,
    transductive: bool = False,
    metric: Callable | None = None,
    score: Score | None = None,
    episodes_at_once: int | None = None,
    ci: Ci = "normal",
) -> Callable[[Any, jax.Array], Evaluation]:
    """`evaluate` compiled once, for many parameters: returns `(params, key) -> Evaluation`.

    Under `jit`, `vmap` or `grad` its numbers are arrays and nothing is raised: NaN stays NaN.
    """
    score = chosen(score, metric)
    estimate = estimator(ci)
    measure = score.measure(learner, transductive)
    check_sample(sample)

    def numbers_of(params: Params, key: Key) -> Any:
        key_episode, key_learner = jax.random.split(key)
        return measure(params, key_learner, sample(key_episode))

    at_once = score.episodes_at_once if episodes_at_once is None else episodes_at_once
    compiled = over_episodes(numbers_of, n_episodes, at_once)

    def run(params: Params, key: Key) -> Evaluation:
        check_params(params)
        check_key(key)
        numbers = compiled(params, key)
        if is_traced(numbers):
            return score.reduce(numbers, estimate)._replace(transductive=transductive)
        result = score.reduce(jax.tree.map(_on_host, numbers), estimate)
        result = jax.tree.map(lambda part: part if np.ndim(part) else float(part), result)
        return result._replace(transductive=transductive)

    return run


def _on_host(leaf: Any) -> np.ndarray:
    """As NumPy's, in float64 if it is a float: many results are added up."""
    leaf = np.asarray(leaf)
    return leaf if leaf.dtype.kind in "biu" else leaf.astype(np.float64)


def over_episodes(
    score: Callable[[Any, jax.Array], Any], n_episodes: int, episodes_at_once: int
) -> Callable[[Any, jax.Array], Any]:
    """Compiles `(params, key) -> score(params, fold_in(key, i))` for every episode i, stacked.

    At most `episodes_at_once` episodes are batched together by `vmap`.

    Raises:
      ValueError: a number is below 1.
      TypeError: a number is not an int.
    """
    for name, number in (("n_episodes", n_episodes), ("episodes_at_once", episodes_at_once)):
        if not isinstance(number, int):
            raise TypeError(f"{name} must be an int, got {number!r}.")
        at_least(1, **{name: number})

    def scores(params: Params, key: Key) -> Any:
        keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(jnp.arange(n_episodes))
        at_once = min(episodes_at_once, n_episodes)
        batch_size = at_once if at_once > 1 else None
        return jax.lax.map(lambda key: score(params, key), keys, batch_size=batch_size)

    return jit_passing_constants(scores)
