"""MAML++.

Antoniou, Edwards & Storkey, "How to Train Your MAML", ICLR 2019, https://arxiv.org/abs/1810.09502,
section 4: multi-step loss (MSL), learned per-layer per-step rates (LSLR), per-step weights of the
batch normalisation (BNWB), and with the outer optimiser a cosine schedule (CA).
Differs from the paper: no running statistics, each step normalises by the support set's own; second
order from the start (derivative-order annealing is off in the released configurations); the loss
weights are annealed meta-step by meta-step, not epoch by epoch; one model is tested, no ensemble.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from jaxmeta.checks import at_least
from jaxmeta.inner import check_inner_loop, inner_loop, rules
from jaxmeta.learner import Adapted, Episode, Examples, Key, Learner, Outputs, Params
from jaxmeta.learners.gradient._maml import combine, observed, set_loss
from jaxmeta.losses import LossFn, mean_loss
from jaxmeta.net import NetLike, as_net, random_in_loss
from jaxmeta.padding import ignoring_padding


class PlusPlusParams(NamedTuple):
    """Meta-parameters of MAML++."""

    net: Any  # where every task's weights start; those of the normalisation `[inner_steps, ...]`
    rule: Any  # a rate per layer and step
    step: jax.Array  # float32, meta-steps done; `counting_steps` moves it, no gradient does


@random_in_loss("net")
def maml_plus_plus(
    net: NetLike,
    *,
    lr: float = 0.1,
    inner_steps: int = 5,
    annealing_steps: int = 5000,
    loss_fn: LossFn = optax.softmax_cross_entropy,
    derivative: str = "reverse",
    remat: bool = True,
    normalisation: str = "norm",
    transductive: bool = False,
) -> Learner:
    """MAML with a loss after every inner step, learned rates and per-step normalisation weights.

    The loss is `sum_t v_t L_query(theta_t)` over t = 1..T. At meta-step s the weights before the
    last are `max((1 - s / annealing_steps) / T, 0.03 / T)`, the last takes the rest; from
    `annealing_steps` on it has all, and the loss is MAML's.

    Args:
      net: maps `[M, *X]` to logits `[M, N]` or values `[M, D]`.
      lr: initial value of every rate.
      inner_steps: gradient steps on the support set, T, static. Rates and normalisation weights
        belong to a step, so training and test take the same number.
      annealing_steps: meta-steps until only the last step counts. The count is in `params.step`:
        wrap the outer optimiser in `counting_steps`, or it stays at 0.
      loss_fn, derivative, remat, transductive: as for `maml`.
      normalisation: start of the names, in a weight's path, that mark the weights of the
        normalisation; jaxmeta's networks call them `"norm..."`. They are not adapted.

    Returns a `Learner` with `PlusPlusParams`, whose adapted value is as `maml`'s.

    Raises:
      ValueError: `inner_steps` is below 1, `annealing_steps` negative, or another value is bad.
      TypeError: `inner_steps` is not an int.

    Example:
      >>> import jax, jaxmeta
      >>> episode = jaxmeta.make_episode([[0.0], [1.0]], [0, 1], [[0.9]], [1])
      >>> key = jax.random.key(0)
      >>> learner = jaxmeta.maml_plus_plus(jaxmeta.networks.mlp(2), inner_steps=2)
      >>> params = learner.init(key, episode)
      >>> adapted = learner.adapt(params, key, episode.support)
      >>> learner.predict(params, adapted, episode.query.x).shape
      (1, 2)
    """
    check_inner_loop(inner_steps=inner_steps, derivative=derivative)
    at_least(1, inner_steps=inner_steps)
    at_least(0, annealing_steps=annealing_steps)
    net = as_net(net)
    rule = rules.per_layer_per_step_sgd(lr, inner_steps)

    def init(key: Key, episode: Episode) -> Params:
        key_net, key_rule = jax.random.split(key)
        moving, per_step = split(net.init(key_net, episode.support.x))
        per_step = jax.tree.map(lambda leaf: jnp.stack([leaf] * inner_steps), per_step)
        return PlusPlusParams(
            combine(moving, per_step), rule.init_params(key_rule, moving), jnp.zeros(())
        )

    def split(weights: Any) -> tuple[Any, Any]:
        """Weights that the inner loop moves, and those that belong to its steps."""

        def is_per_step(path: tuple) -> bool:
            names = (jax.tree_util.keystr((key,), simple=True) for key in path)
            return any(name.startswith(normalisation) for name in names)

        marked = jax.tree_util.tree_map_with_path(lambda path, _: is_per_step(path), weights)
        moving = jax.tree.map(lambda mark, leaf: None if mark else leaf, marked, weights)
        return moving, jax.tree.map(lambda mark, leaf: leaf if mark else None, marked, weights)

    def train(
        params: Params, support: Examples, observe: Callable | None = None
    ) -> tuple[Any, Any]:
        moving, per_step = split(params.net)

        def at(moving: Any, step: Any) -> Any:
            return combine(moving, jax.tree.map(lambda leaf: leaf[step], per_step))

        def support_loss(moving: Any, step: Any) -> jax.Array:
            return set_loss(net, at(moving, step), support, loss_fn)

        moving, seen = inner_loop(
            rule,
            support_loss,
            params.rule,
            moving,
            steps=inner_steps,
            batches=jnp.arange(inner_steps),
            observe=observe and (lambda moving, step: observe(at(moving, step))),
            derivative=derivative,
            remat=remat,
        )
        return at(moving, inner_steps - 1), seen

    def adapt(params: Params, key: Key, support: Examples) -> Adapted:
        del key  # The inner loop is deterministic.
        return observed(net, train(params, support)[0], support)

    def predict(params: Params, adapted: Adapted, x: jax.Array) -> Outputs:
        del params
        return net.apply(adapted, x)

    def loss(params: Params, key: Key, episode: Episode) -> tuple[jax.Array, Outputs]:
        del key
        support, query = episode

        def outputs_of(weights: Any) -> Outputs:
            weights = weights if transductive else observed(net, weights, support)
            return net.apply(weights, query.x)

        _, outputs = train(params, support, outputs_of)  # [T, Q, N]
        losses = jax.vmap(lambda outputs: mean_loss(loss_fn, outputs, query))(outputs)
        step = jax.lax.stop_gradient(params.step)
        return step_weights(step, inner_steps, annealing_steps) @ losses, outputs[-1]

    return ignoring_padding(Learner(init, adapt, predict, loss))


def step_weights(step: jax.Array, inner_steps: int, annealing_steps: int) -> jax.Array:
    """Weights `[inner_steps]`, of sum 1, of the losses after each inner step at a meta-step."""
    if annealing_steps == 0:
        return jnp.eye(inner_steps)[-1]
    left = 1 - step / annealing_steps
    early = jnp.where(
        step < annealing_steps, jnp.maximum(left / inner_steps, 0.03 / inner_steps), 0.0
    )
    last = 1 - early * (inner_steps - 1)
    return jnp.where(jnp.arange(inner_steps) == inner_steps - 1, last, early)


def counting_steps(tx: optax.GradientTransformation) -> optax.GradientTransformation:
    """The outer optimiser `tx` for `PlusPlusParams`: it counts meta-steps in `params.step`."""
    count = optax.GradientTransformation(
        lambda params: optax.EmptyState(),
        lambda updates, state, params=None: (jax.tree.map(jnp.ones_like, updates), state),
    )
    labels = PlusPlusParams(*cast(tuple[Any, Any, Any], ("learned", "learned", "counted")))
    return optax.partition({"learned": tx, "counted": count}, labels)
