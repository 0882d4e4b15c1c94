"""Model-agnostic meta-learning (MAML), and its first-order form.

Finn, Abbeel & Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks",
ICML 2017, https://arxiv.org/abs/1703.03400, Algorithm 2 and section 5.2 (first order).
Differs from the paper: the support loss is a mean over examples, where the released code sums over
the classes (its rate 0.4 at 5 ways is 2.0 here); predictions are inductive unless asked otherwise.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from jaxmeta.inner import UpdateRule, check_inner_loop, inner_loop, rules
from jaxmeta.learner import Adapted, Episode, Examples, Key, Learner, Outputs, Params
from jaxmeta.losses import LossFn, mean_loss, query_loss
from jaxmeta.net import Net, NetLike, as_net, random_in_loss
from jaxmeta.padding import ignoring_padding


class GradientParams(NamedTuple):
    """Meta-parameters of the gradient-based family."""

    net: Any  # where every task's weights start
    rule: Any  # what the update rule learns, {} for plain gradient descent


@random_in_loss("net")
def maml(
    net: NetLike,
    *,
    rule: UpdateRule = rules.sgd(0.01),
    inner_steps: int = 5,
    loss_fn: LossFn = optax.softmax_cross_entropy,
    derivative: str = "reverse",
    remat: bool = True,
    adaptable: Callable[[tuple[str, ...]], bool] | None = None,
    transductive: bool = False,
) -> Learner:
    """Learns an initialisation from which a few gradient steps solve a new task.

    With inner step size alpha, T steps and Hessians H_j of the support loss, the meta-gradient is
    `prod_j (I - alpha H_j) grad L_query(theta_T)`.

    Args:
      net: maps `[M, *X]` to logits `[M, N]` or values `[M, D]`.
      rule: how a step moves the weights.
      inner_steps: gradient steps on the support set; static. A learner built with another number
        uses the same parameters, so training and test may differ.
      loss_fn: loss per example, as optax's.
      derivative: `"reverse"`, `"forward_over_reverse"` (the same numbers) or `"first_order"`.
      remat: keep only each step's weights for the backward pass: memory flat in `inner_steps`.
      adaptable: which weights the inner loop moves, by path, such as
        `lambda path: "head" in path`; None moves all.
      transductive: train so: in `loss`, normalise the query set by its own batch statistics, as
        the paper's code does, and not by the support set's. `adapt` and `predict` stay as they
        are; `jaxmeta.transductive` is for those.

    Returns a `Learner` with `GradientParams`, whose adapted value is the net's parameters after
    adaptation, together with the support set's statistics where the net normalises by batch.

    Raises:
      ValueError: a bad value, or `adaptable` chooses no weight (by `init`).
      TypeError: `inner_steps` is not an int.

    Example:
      >>> import jax, jaxmeta
      >>> learner = jaxmeta.maml(jaxmeta.networks.mlp(2), inner_steps=1)
      >>> episode = jaxmeta.make_episode([[0.0], [1.0]], [0, 1], [[0.9]], [1])
      >>> key = jax.random.key(0)
      >>> params = learner.init(key, episode)
      >>> adapted = learner.adapt(params, key, episode.support)
      >>> learner.predict(params, adapted, episode.query.x).shape
      (1, 2)
    """
    check_inner_loop(rule=rule, inner_steps=inner_steps, derivative=derivative)
    net = as_net(net)

    def init(key: Key, episode: Episode) -> Params:
        key_net, key_rule = jax.random.split(key)
        weights = net.init(key_net, episode.support.x)
        moving, _ = partition(weights, adaptable)
        return GradientParams(weights, rule.init_params(key_rule, moving))

    def train(params: Params, key: Key, support: Examples) -> Any:
        del key  # The inner loop is deterministic.
        moving, frozen = partition(params.net, adaptable)

        def support_loss(moving: Any, _: Any) -> jax.Array:
            return set_loss(net, combine(moving, frozen), support, loss_fn)

        moving, _ = inner_loop(
            rule,
            support_loss,
            params.rule,
            moving,
            steps=inner_steps,
            derivative=derivative,
            remat=remat,
        )
        return combine(moving, frozen)

    def adapt(params: Params, key: Key, support: Examples) -> Adapted:
        return observed(net, train(params, key, support), support)

    def predict(params: Params, adapted: Adapted, x: jax.Array) -> Outputs:
        del params
        return net.apply(adapted, x)

    loss = query_loss(train if transductive else adapt, predict, loss_fn)
    return ignoring_padding(Learner(init, adapt, predict, loss))


def fomaml(
    net: NetLike,
    *,
    rule: UpdateRule = rules.sgd(0.01),
    inner_steps: int = 5,
    loss_fn: LossFn = optax.softmax_cross_entropy,
    adaptable: Callable[[tuple[str, ...]], bool] | None = None,
    transductive: bool = False,
) -> Learner:
    """First-order MAML: inner gradients count as constants (Finn et al. 2017, section 5.2).

    The meta-gradient is `grad L_query(theta_T)`: cheaper than MAML's and biased. Arguments, result
    and errors are those of `maml`.

    Example:
      >>> import jax, jaxmeta
      >>> episode = jaxmeta.make_episode([[0.0], [1.0]], [0, 1], [[0.9]], [1])
      >>> key = jax.random.key(0)
      >>> learner = jaxmeta.fomaml(jaxmeta.networks.mlp(2), inner_steps=1)
      >>> params = learner.init(key, episode)
      >>> adapted = learner.adapt(params, key, episode.support)
      >>> learner.predict(params, adapted, episode.query.x).shape
      (1, 2)
    """
    return maml(
        net,
        rule=rule,
        inner_steps=inner_steps,
        loss_fn=loss_fn,
        derivative="first_order",
        adaptable=adaptable,
        transductive=transductive,
    )


def set_loss(
    net: Net, weights: Any, examples: Examples, loss_fn: LossFn, *context: jax.Array
) -> jax.Array:
    """Mean loss of a set under its own batch statistics."""
    outputs, _ = net.observe(weights, examples, *context)
    return mean_loss(loss_fn, outputs, examples)


def observed(net: Net, weights: Any, support: Examples) -> Any:
    """The weights under the support set's batch statistics."""
    return net.under(weights, net.observe(weights, support)[1])


def partition(weights: Any, adaptable: Callable | None) -> tuple[Any, Any]:
    """Splits a tree in two of the same shape, None where a leaf is in the other.

    Raises:
      ValueError: no leaf is adaptable.
    """
    if adaptable is None:
        return weights, jax.tree.map(lambda _: None, weights)

    def is_adaptable(path: tuple) -> bool:
        return adaptable(tuple(jax.tree_util.keystr((key,), simple=True) for key in path))

    moving = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf if is_adaptable(path) else None, weights
    )
    if not jax.tree.leaves(moving):
        paths = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(weights)]
        raise ValueError(f"adaptable must choose at least one of the weights {', '.join(paths)}.")
    frozen = jax.tree_util.tree_map_with_path(
        lambda path, leaf: None if is_adaptable(path) else leaf, weights
    )
    return moving, frozen


def combine(moving: Any, frozen: Any) -> Any:
    """Undoes `partition`."""
    return jax.tree.map(
        lambda a, b: b if a is None else a, moving, frozen, is_leaf=lambda leaf: leaf is None
    )
