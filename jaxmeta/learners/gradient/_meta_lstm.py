"""The LSTM meta-learner.

Ravi & Larochelle, "Optimization as a Model for Few-Shot Learning", ICLR 2017,
https://openreview.net/forum?id=rJY0-Kcll, section 3 and Algorithm 1.
Differs from the paper: queries are normalised by the support set's statistics under the final
weights, where the paper averages those met along the inner loop.
"""

import optax

from jaxmeta.inner import rules
from jaxmeta.learner import Learner
from jaxmeta.learners.gradient._maml import maml
from jaxmeta.losses import LossFn
from jaxmeta.net import NetLike


def meta_lstm(
    net: NetLike,
    *,
    hidden: int = 20,
    forget_bias: tuple[float, float] = (4.0, 5.0),
    input_bias: tuple[float, float] = (-5.0, -4.0),
    inner_steps: int = 12,
    loss_fn: LossFn = optax.softmax_cross_entropy,
    transductive: bool = False,
) -> Learner:
    """Learns the initial weights and, as the gates of an LSTM, the rule that updates them.

    `c_t = f_t o c_{t-1} - i_t o grad L(c_{t-1})`: the cell state is the weights of the task's net,
    its learned initial value `params.net`. Gradients and losses fed to the LSTM are constants (the
    paper's section 3.2); the outer gradient flows through the chain of cell states. The paper clips
    it: `optax.chain(optax.clip_by_global_norm(0.25), optax.adam(1e-3))`.

    Args:
      net: maps `[M, *X]` to logits `[M, N]` or values `[M, D]`.
      hidden: units of the LSTM under the gates.
      forget_bias, input_bias: where the gates' biases start; as for `rules.lstm`.
      inner_steps: updates on the whole support set, static; 12 at one shot in the paper, 8 at five.
      loss_fn: loss per example, as optax's.
      transductive: as for `maml`.

    Returns a `Learner` with `GradientParams`, whose adapted value is as `maml`'s.

    Raises:
      ValueError: `hidden` is below 1, `inner_steps` negative, or a range of biases backwards.
      TypeError: `inner_steps` is not an int.

    Example:
      >>> import jax, jaxmeta
      >>> episode = jaxmeta.make_episode([[0.0], [1.0]], [0, 1], [[0.9]], [1])
      >>> key = jax.random.key(0)
      >>> learner = jaxmeta.meta_lstm(jaxmeta.networks.mlp(2), hidden=4, inner_steps=2)
      >>> params = learner.init(key, episode)
      >>> adapted = learner.adapt(params, key, episode.support)
      >>> learner.predict(params, adapted, episode.query.x).shape
      (1, 2)
    """
    return maml(
        net,
        rule=rules.lstm(hidden, forget_bias=forget_bias, input_bias=input_bias),
        inner_steps=inner_steps,
        loss_fn=loss_fn,
        derivative="first_order",
        transductive=transductive,
    )
