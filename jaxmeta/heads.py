"""Frozen features, and what stands on them where nothing was meta-trained."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmeta import networks
from jaxmeta.learner import Episode, Examples, Learner
from jaxmeta.learners.metric import cosine, prototypical
from jaxmeta.losses import query_loss
from jaxmeta.net import NetLike, as_net
from jaxmeta.support import as_support

# Of the logits. On 5-way 1-shot episodes of CIFAR-FS's meta_val, where no row can be held out to
# say better, the mean probability of the answer is then 0.62 and the accuracy 0.60.
SCALE = 15.0
# Regularisers that leave-one-out chooses from, relative to the mean variance of the rows.
RELATIVE_LAMBDAS = tuple(10.0**power for power in range(-6, 4))


class PhotoNet:
    """The net from images `[M, H, W, 3]` or `[M, H, W, 1]`, in `[0, 1]`, to features `[M, 576]`.

    Resized to 224 x 224 pixels (bilinear), normalised, through `networks.mobilenet_v3_small`.
    """

    shape = (224, 224, 3)

    def init(self, key: jax.Array, x: jax.Array) -> Any:
        """Random parameters; trained ones are `networks.mobilenet_v3_small_weights()`."""
        return networks.mobilenet_v3_small().init(key, self._resized(x))

    def apply(self, params: Any, x: jax.Array) -> jax.Array:
        """Features `[M, 576]`."""
        features: Any = networks.mobilenet_v3_small().apply(params, self._resized(x))
        return features

    def _resized(self, x):
        x = jnp.broadcast_to(x, (*x.shape[:3], 3))
        if x.shape[1:] != self.shape:
            x = jax.image.resize(x, (x.shape[0], *self.shape), "bilinear")
        return networks.imagenet_normalised(x)


def _scaled_cosine(x, centres):
    return SCALE * cosine(x, centres)


def class_means() -> Learner:
    """Classifies by the largest cosine of features and class means, times 15; nothing is learned.

    Snell et al. 2017 with the cosine, on features that are given; `prototypical` says the rest.
    """
    return prototypical(networks.Identity(), distance=_scaled_cosine)


class LinearValues(NamedTuple):
    """What a task leaves behind: `values = (x - mean) @ weights + offset`."""

    mean: jax.Array  # [D]
    weights: jax.Array  # [D, K]
    offset: jax.Array  # [K]
    lam: jax.Array  # [] the regulariser that was chosen


def ridge_values() -> Learner:
    """Ridge regression of targets `[S, K]` on features, with a constant; nothing is learned.

    Of ten regularisers the one with the least squared leave-one-out error is taken. With centred
    rows `X`, `G = X X' + lam I` and `a = G^-1 (Y - mean)`, the error of a row that is left out is
    `a_i / (G^-1)_ii`, its mean left in (Rifkin & Lippert, "Notes on Regularized Least Squares",
    2007, section 3).
    """
    net = networks.Identity()

    def init(key, episode):
        del key, episode
        return {}

    def adapt(params, key, support):
        del params, key
        rows = as_support(support)
        x, y, is_valid = net.apply({}, rows.x), rows.y, rows.is_valid
        counts = jnp.maximum(jnp.sum(is_valid), 1)
        mean, offset = jnp.sum(x, axis=0) / counts, jnp.sum(y, axis=0) / counts
        x = jnp.where(is_valid[:, None], x - mean[None], 0)
        y = jnp.where(is_valid[:, None], y - offset[None], 0)
        # Through the eigenvectors of X X' every regulariser costs a product.
        values, vectors = jnp.linalg.eigh(x @ x.T)
        values = jnp.maximum(values, 0)
        turned = vectors.T @ y
        unit = jnp.maximum(jnp.sum(jnp.square(x)) / counts, jnp.finfo(x.dtype).tiny)
        lambdas = unit * jnp.array(RELATIVE_LAMBDAS, x.dtype)

        def coefficients(lam):
            return vectors @ (turned / (values + lam)[:, None])

        def left_out(lam):
            inverse = jnp.sum(jnp.square(vectors) / (values + lam)[None], axis=1)
            errors = coefficients(lam) / inverse[:, None]
            return jnp.sum(jnp.where(is_valid[:, None], jnp.square(errors), 0))

        lam = lambdas[jnp.argmin(jax.lax.map(left_out, lambdas))]
        return LinearValues(mean, x.T @ coefficients(lam), offset, lam)

    def predict(params, adapted, x):
        del params
        centred = net.apply({}, x) - adapted.mean[None]
        return centred @ adapted.weights + adapted.offset[None]

    return Learner(init, adapt, predict, query_loss(adapt, predict, optax.squared_error))


class OnFeatures(NamedTuple):
    """Meta-parameters of `on_features`."""

    features: Any  # of the frozen net
    learner: Any


def on_features(net: NetLike, learner: Learner) -> Learner:
    """A learner of inputs, made of a frozen net and a learner of its features.

    Args:
      net: maps inputs `[M, *X]` to features `[M, D]`; its parameters never change.
      learner: of features.

    Returns a `Learner` with `OnFeatures` whose adapted value is that of `learner`.
    """
    net = as_net(net)

    def seen(params, part):
        return part._replace(x=jax.lax.stop_gradient(net.apply(params.features, part.x)))

    def init(key, episode):
        key_net, key_learner = jax.random.split(key)
        weights = net.init(key_net, episode.support.x)
        params = OnFeatures(weights, {})
        episode = Episode(*(seen(params, part) for part in episode))
        return OnFeatures(weights, learner.init(key_learner, episode))

    def adapt(params, key, support):
        return learner.adapt(params.learner, key, seen(params, support))

    def predict(params, adapted, x):
        x = seen(params, Examples(x, x)).x
        return learner.predict(params.learner, adapted, x)

    def loss(params, key, episode):
        return learner.loss(params.learner, key, Episode(*(seen(params, part) for part in episode)))

    return Learner(init, adapt, predict, loss)
