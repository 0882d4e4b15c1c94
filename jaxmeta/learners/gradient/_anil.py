"""Almost no inner loop (ANIL).

Raghu, Raghu, Bengio & Vinyals, "Rapid Learning or Feature Reuse? Towards Understanding the
Effectiveness of MAML", ICLR 2020, https://arxiv.org/abs/1909.09157, section 4.
Differs from the paper: nothing known. Its test without a head (NIL) is not here.
"""

import optax

from jaxmeta.inner import UpdateRule, rules
from jaxmeta.learner import Learner
from jaxmeta.learners.gradient._maml import maml
from jaxmeta.losses import LossFn
from jaxmeta.net import NetLike


def anil(
    net: NetLike,
    *,
    rule: UpdateRule = rules.sgd(0.01),
    inner_steps: int = 5,
    loss_fn: LossFn = optax.softmax_cross_entropy,
    derivative: str = "reverse",
    remat: bool = True,
    head: str = "head",
    transductive: bool = False,
) -> Learner:
    """MAML whose inner loop moves the head alone.

    The body's outer gradient flows through the adapted head.

    Args:
      net: maps `[M, *X]` to logits `[M, N]` or values `[M, D]`.
      head: name, anywhere in a weight's path, that marks the last layer; jaxmeta's networks call
        it `"head"`.
      rule, inner_steps, loss_fn, derivative, remat, transductive: as for `maml`.

    Raises:
      ValueError: no weight has `head` in its path (by `init`).

    Example:
      >>> import jax, jaxmeta
      >>> episode = jaxmeta.make_episode([[0.0], [1.0]], [0, 1], [[0.9]], [1])
      >>> key = jax.random.key(0)
      >>> learner = jaxmeta.anil(jaxmeta.networks.mlp(2), inner_steps=1)
      >>> params = learner.init(key, episode)
      >>> adapted = learner.adapt(params, key, episode.support)
      >>> moved = jax.tree.map(lambda new, old: bool((new != old).any()), adapted, params.net)
      >>> sorted(name for name, layer in moved["params"].items() if any(layer.values()))
      ['head']
    """
    return maml(
        net,
        rule=rule,
        inner_steps=inner_steps,
        loss_fn=loss_fn,
        derivative=derivative,
        remat=remat,
        adaptable=lambda path: head in path,
        transductive=transductive,
    )
