"""Meta-SGD: a learned initialisation with a learned rate per weight.

Li, Zhou, Chen & Li, "Meta-SGD: Learning to Learn Quickly for Few-Shot Learning", 2017,
https://arxiv.org/abs/1707.09835, Algorithm 1.
Differs from the paper: every rate starts at the same given value, not at a random one.
"""

import optax

from jaxmeta.inner import rules
from jaxmeta.learner import Learner
from jaxmeta.learners.gradient._maml import maml
from jaxmeta.losses import LossFn
from jaxmeta.net import NetLike


def meta_sgd(
    net: NetLike,
    *,
    lr: float = 0.01,
    inner_steps: int = 1,
    loss_fn: LossFn = optax.softmax_cross_entropy,
    derivative: str = "reverse",
    remat: bool = True,
    transductive: bool = False,
) -> Learner:
    """MAML whose inner step is `theta - alpha o grad L(theta)`, with alpha learned per weight.

    Args:
      net: maps `[M, *X]` to logits `[M, N]` or values `[M, D]`.
      lr: initial value of every rate; a rate may become negative.
      inner_steps: gradient steps on the support set, 1 in the paper.
      loss_fn, derivative, remat, transductive: as for `maml`.

    Example:
      >>> import jax, jaxmeta
      >>> episode = jaxmeta.make_episode([[0.0], [1.0]], [0, 1], [[0.9]], [1])
      >>> key = jax.random.key(0)
      >>> learner = jaxmeta.meta_sgd(jaxmeta.networks.mlp(2))
      >>> params = learner.init(key, episode)
      >>> params.rule["params"]["head"]["kernel"].shape  # a rate for each weight
      (40, 2)
      >>> adapted = learner.adapt(params, key, episode.support)
    """
    return maml(
        net,
        rule=rules.per_parameter_sgd(lr),
        inner_steps=inner_steps,
        loss_fn=loss_fn,
        derivative=derivative,
        remat=remat,
        transductive=transductive,
    )
