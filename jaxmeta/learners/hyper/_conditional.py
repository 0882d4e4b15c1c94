"""A net that takes the support set as a second input: conditional neural processes.

Garnelo et al., "Conditional Neural Processes", ICML 2018, https://arxiv.org/abs/1807.01613,
section 2: `r = mean_i h(x_i, y_i)`, `(mu, sigma) = g(x*, r)`.
Differs from the paper: the loss is over the query set alone, where the paper's targets include the
context; any encoder of the support set may stand for the mean, and any net with a context for g.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmeta.learner import Adapted, Episode, Examples, Key, Learner, Outputs, Params
from jaxmeta.losses import LossFn, mean_loss, query_loss, wide
from jaxmeta.net import Net, as_net, random_in_loss
from jaxmeta.networks import set_encoder
from jaxmeta.padding import ignoring_padding
from jaxmeta.support import as_support


class Conditioning(NamedTuple):
    """What a task leaves behind."""

    context: jax.Array  # [C]
    statistics: Any  # of the support set in the net, {} without batch normalisation


class Gaussian(NamedTuple):
    """A normal distribution for each query and target dimension."""

    mean: jax.Array  # [M, D]
    sigma: jax.Array  # [M, D] standard deviation, in target units


@random_in_loss("net", "encoder")
def conditional(
    net: Any,
    *,
    encoder: Any = None,
    least_sigma: float | None = None,
    loss_fn: LossFn = optax.softmax_cross_entropy,
) -> Learner:
    """Adapts by a look at the support set: its code is an input of the net.

    Args:
      net: a net with a second input, the context: `init(key, x, context)` and
        `apply(params, x, context)`. `networks.mlp` joins it to its inputs, `networks.conv4` scales
        and shifts channels by it (FiLM), `networks.conditioned` embeds the inputs first.
      encoder: the code `[C]` of a support set: `init(key, x, y, is_valid)` and
        `apply(params, x, y, is_valid)`. `networks.set_encoder`, by its defaults for None, does not
        see the order of the rows; `networks.wavenet_encoder` reads them as a sequence.
      least_sigma: None: outputs as they are, under `loss_fn`. A number: regression with a
        predictive standard deviation. The net's outputs are then `[M, 2 D]`, mean and `s`, with
        `sigma = least_sigma + (1 - least_sigma) softplus(s)`, and the precision of the float type
        for a `least_sigma` of 0 in the sum; the loss is the mean of
        `-log N(y; mean, sigma)`; `predict` gives the mean `[M, D]`, so that every metric of values
        applies, and `jaxmeta.learners.hyper.predictive` gives both.
      loss_fn: loss per example of the outputs, where there is no sigma.

    Returns a `Learner` whose parameters are a dict of `net` and `encoder`, and whose adapted value
    is `Conditioning`. Rows of the support set that are not valid are as if absent.

    Raises:
      ValueError: `least_sigma` is not in [0, 1); by `loss`, the net's outputs are not twice as wide
        as the targets where it is given.

    Example:
      >>> import jax, jaxmeta
      >>> episode = jaxmeta.make_episode([[0.0], [1.0]], [0, 1], [[0.9]], [1])
      >>> key = jax.random.key(0)
      >>> net = jaxmeta.networks.mlp(2, hidden=(8,))
      >>> learner = jaxmeta.conditional(net, encoder=jaxmeta.networks.set_encoder(4))
      >>> params = learner.init(key, episode)
      >>> adapted = learner.adapt(params, key, episode.support)
      >>> learner.predict(params, adapted, episode.query.x).shape
      (1, 2)
    """
    net = as_net(net)
    encoder = as_net(set_encoder() if encoder is None else encoder, "encoder")
    if least_sigma is not None and not 0 <= least_sigma < 1:
        raise ValueError(f"least_sigma must be in [0, 1), got {least_sigma}.")

    def init(key: Key, episode: Episode) -> Params:
        key_encoder, key_net = jax.random.split(key)
        rows = as_support(episode.support)
        encoder_params = encoder.init(key_encoder, rows.x, rows.y, rows.is_valid)
        context = encoder.apply(encoder_params, rows.x, rows.y, rows.is_valid)
        return {"net": net.init(key_net, rows.x, context), "encoder": encoder_params}

    def adapt(params: Params, key: Key, support: Examples) -> Adapted:
        del key  # One pass, without randomness.
        rows = as_support(support)
        context, _ = encoder.observe(params["encoder"], support, rows.y, rows.is_valid)
        return Conditioning(context, net.observe(params["net"], support, context)[1])

    def predict(params: Params, adapted: Adapted, x: jax.Array) -> Outputs:
        if least_sigma is None:
            return _outputs(net, params, adapted, x)
        return predictive(net, params, adapted, x, least_sigma=least_sigma).mean

    def loss(params: Params, key: Key, episode: Episode) -> tuple[jax.Array, Outputs]:
        adapted = adapt(params, key, episode.support)
        if least_sigma is None:
            outputs = predict(params, adapted, episode.query.x)
            return mean_loss(loss_fn, outputs, episode.query), outputs
        gaussian = predictive(net, params, adapted, episode.query.x, least_sigma=least_sigma)
        if gaussian.mean.shape != episode.query.y.shape:
            raise ValueError(
                "with least_sigma the net must have twice as many outputs as there are targets: "
                f"means {gaussian.mean.shape}, targets {episode.query.y.shape}."
            )
        value = mean_loss(lambda _, y: -log_density(gaussian, y), gaussian.mean, episode.query)
        return value, gaussian.mean

    return ignoring_padding(Learner(init, adapt, predict, loss))


def predictive(
    net: Any, params: Any, adapted: Conditioning, x: jax.Array, *, least_sigma: float
) -> Gaussian:
    """The predictive distribution behind the means of `conditional`.

    Args:
      net, least_sigma: as given to `conditional`.
      params: its meta-parameters.
      adapted: what its `adapt` gave.
      x: queries `[M, *X]`.

    Raises:
      ValueError: the net's outputs are not `[M, 2 D]`.
    """
    outputs = _outputs(as_net(net), params, adapted, x)
    if outputs.ndim != 2 or outputs.shape[1] % 2:
        raise ValueError(
            f"with least_sigma the net must give [M, 2 D], mean and s, got shape {outputs.shape}."
        )
    mean, raw = jnp.split(outputs, 2, axis=1)
    # Far below zero softplus is zero, of which there is no logarithm.
    floor = jnp.finfo(raw.dtype).eps if least_sigma == 0 else least_sigma
    return Gaussian(mean, floor + (1 - least_sigma) * jax.nn.softplus(raw))


def context_mean() -> Learner:
    """Predicts the mean of the support set's targets for every query: the floor of a regression."""

    def adapt(params: Params, key: Key, support: Examples) -> Adapted:
        del params, key
        rows = as_support(support)
        return jnp.sum(rows.y, 0) / jnp.maximum(jnp.sum(rows.is_valid), 1)

    def predict(params: Params, adapted: Adapted, x: jax.Array) -> Outputs:
        del params
        return jnp.broadcast_to(adapted, (x.shape[0], *adapted.shape))

    loss = query_loss(adapt, predict, optax.squared_error)
    return ignoring_padding(Learner(lambda key, episode: {}, adapt, predict, loss))


def log_density(gaussian: Gaussian, y: jax.Array) -> jax.Array:
    """`log N(y; mean, sigma)` of targets `[M, D]`, in nats, one for each: `[M, D]`."""
    mean, sigma = map(wide, gaussian)
    z = (y - mean) / sigma
    return -0.5 * jnp.square(z) - jnp.log(sigma) - 0.5 * jnp.log(2 * jnp.pi)


def _outputs(net: Net, params: Params, adapted: Adapted, x: jax.Array) -> jax.Array:
    return net.apply(net.under(params["net"], adapted.statistics), x, adapted.context)
