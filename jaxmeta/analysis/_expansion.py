"""What MAML, FOMAML and Reptile follow, to first order in the inner rate.

Nichol, Achiam & Schulman, "On First-Order Meta-Learning Algorithms", 2018,
https://arxiv.org/abs/1803.02999, section 5.1. With minibatch losses L_1..L_k of one task, gradients
g_i and Hessians H_i at the start, and expectations over minibatches in random order,

    A = E[g_1]        AvgGrad: descends the joint loss
    B = E[H_2 g_1]    AvgGradInner: raises the inner product of two minibatches' gradients

    FOMAML  A - (k - 1) a B + O(a^2)
    MAML    A - 2 (k - 1) a B + O(a^2)
    Reptile k A - k (k - 1) / 2 a B + O(a^2)
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

METHODS = ("fomaml", "maml", "reptile")

Loss = Callable[[Any, Any], jax.Array]  # (weights, batch) -> scalar


class MetaGradients(NamedTuple):
    """One task's meta-gradients, each with the structure of the weights."""

    fomaml: Any
    maml: Any
    reptile: Any


class Expansion(NamedTuple):
    """Meta-gradients against their expansion; methods in the order of `METHODS`."""

    inner_lr: np.ndarray  # [R]
    coefficients: np.ndarray  # [R, 3, 2] measured, of A and of a B
    theory: np.ndarray  # [3, 2]
    residual: np.ndarray  # [R, 3] |meta-gradient - theory|
    cosine: np.ndarray  # [R, 3] of (FOMAML, MAML), (FOMAML, Reptile), (MAML, Reptile)


def meta_gradients(loss: Loss, weights: Any, batches: Any, *, inner_lr: float) -> MetaGradients:
    """FOMAML's, MAML's and Reptile's direction on k minibatches of one task.

    Inner gradient descent takes the minibatches in turn. FOMAML is the gradient of the last one
    where the others have led, MAML the derivative of its loss with respect to the start, Reptile
    the sum of all gradients on the way. Each is averaged over 2k orders, the rotations of the given
    one and of its reverse: every minibatch is last, and every two follow each other both ways,
    equally often, which is all that the expansion asks of the random order.

    Args:
      loss: `(weights, batch) -> scalar`, any learner's.
      weights: pytree, the start.
      batches: pytree with a leading axis `[k]`.
      inner_lr: the paper's alpha.

    Example:
      >>> loss = lambda w, batch: 0.5 * (w - batch) ** 2
      >>> found = meta_gradients(loss, jnp.array(1.0), jnp.array([0.0, 0.0]), inner_lr=0.5)
      >>> [round(float(part), 4) for part in found]  # FOMAML 1/2, MAML 1/2^2, Reptile 1 + 1/2
      [0.5, 0.25, 1.5]
    """
    k = len(jax.tree.leaves(batches)[0])

    def at(order, i):
        return jax.tree.map(lambda leaf: leaf[order[i]], batches)

    def descend(start, order):
        """Weights before the last minibatch, and the sum of the gradients on the way."""

        def step(carry, i):
            w, total = carry
            grads = jax.grad(loss)(w, at(order, i))
            w = jax.tree.map(lambda w, g: w - inner_lr * g, w, grads)
            return (w, jax.tree.map(jnp.add, total, grads)), None

        zeros = jax.tree.map(jnp.zeros_like, start)
        return jax.lax.scan(step, (start, zeros), jnp.arange(k - 1))[0]

    def of_order(order):
        w, total = descend(weights, order)
        fomaml = jax.grad(loss)(w, at(order, k - 1))
        maml = jax.grad(lambda start: loss(descend(start, order)[0], at(order, k - 1)))(weights)
        return MetaGradients(fomaml, maml, jax.tree.map(jnp.add, total, fomaml))

    rotations = (np.arange(k) + np.arange(k)[:, None]) % k
    orders = jnp.array(np.concatenate([rotations, rotations[:, ::-1]]))
    return jax.tree.map(lambda leaf: leaf.mean(0), jax.lax.map(of_order, orders))


def avg_grad_and_inner(loss: Loss, weights: Any, batches: Any) -> tuple[Any, Any]:
    """A and B of the expansion: `mean_i g_i` and `mean_{i != j} H_i g_j`.

    Example:
      >>> loss = lambda w, batch: 0.5 * batch * w**2  # g_i = b_i w and H_i = b_i
      >>> a, b = avg_grad_and_inner(loss, jnp.array(1.0), jnp.array([1.0, 3.0]))
      >>> float(a), float(b)
      (2.0, 3.0)
    """
    k = len(jax.tree.leaves(batches)[0])
    grads = jax.lax.map(lambda batch: jax.grad(loss)(weights, batch), batches)
    total = jax.tree.map(lambda leaf: leaf.sum(0), grads)

    def row(batch_and_grad):  # H_i applied to the sum of the others' gradients
        batch, grad = batch_and_grad
        others = jax.tree.map(jnp.subtract, total, grad)
        _, product = jax.jvp(lambda w: jax.grad(loss)(w, batch), (weights,), (others,))
        return product

    products = jax.lax.map(row, (batches, grads))
    return (
        jax.tree.map(lambda leaf: leaf / k, total),
        jax.tree.map(lambda leaf: leaf.sum(0) / (k * (k - 1)), products),
    )


def theory(k: int) -> np.ndarray:
    """Coefficients `[3, 2]` of A and a B for k minibatches, methods in the order of `METHODS`.

    Example:
      >>> theory(2).tolist()
      [[1.0, -1.0], [1.0, -2.0], [2.0, -1.0]]
    """
    return np.array([[1, -(k - 1)], [1, -2 * (k - 1)], [k, -k * (k - 1) / 2]])


def expansion(loss: Loss, weights: Any, batches: Any, *, inner_lrs: Sequence[float]) -> Expansion:
    """Measures the expansion's coefficients from the meta-gradients, and what it leaves out.

    At each inner rate a, the least-squares coefficients of A and a B in each meta-gradient, and the
    norm of what is left when the theory's are taken away: it falls by 4 with each halving of a. At
    float32 it soon reaches the rounding; `jax.enable_x64(True)` shows it whole.

    Args:
      loss: `(weights, batch) -> scalar`.
      weights: pytree of arrays.
      batches: pytree with a leading axis `[k]`, k >= 2.
      inner_lrs: rates to measure at, in any order.

    Raises:
      ValueError: k is below 2, or a rate is not positive.

    Example:
      >>> loss = lambda w, batch: 0.25 * jnp.sum((w - batch) ** 4)
      >>> batches = jnp.array([[0.0, 1.0], [0.5, -1.0]])
      >>> found = expansion(loss, jnp.array([1.0, 2.0]), batches, inner_lrs=[1e-3])
      >>> found.coefficients.shape  # of rates, methods, and the terms A and a B
      (1, 3, 2)
    """
    k = len(jax.tree.leaves(batches)[0])
    if k < 2:
        raise ValueError(f"batches must have a leading axis of 2 or more, got {k}.")
    if min(inner_lrs) <= 0:
        raise ValueError(f"inner_lrs must be > 0, got {min(inner_lrs)}.")
    a, b = (
        _flat(tree)
        for tree in jax.jit(avg_grad_and_inner, static_argnums=0)(loss, weights, batches)
    )
    measure = jax.jit(lambda lr: meta_gradients(loss, weights, batches, inner_lr=lr))
    expected = theory(k)
    coefficients, residuals, cosines = [], [], []
    for lr in inner_lrs:
        basis = np.stack([a, lr * b], axis=1)
        gradients = np.stack([_flat(tree) for tree in measure(lr)])
        coefficients.append(np.linalg.lstsq(basis, gradients.T, rcond=None)[0].T)
        residuals.append(np.linalg.norm(gradients - expected @ basis.T, axis=1))
        cosines.append(similarities(MetaGradients(*gradients)))
    return Expansion(
        np.array(inner_lrs),
        np.array(coefficients),
        expected,
        np.array(residuals),
        np.array(cosines),
    )


def similarities(gradients: MetaGradients) -> jax.Array:
    """Cosines `[3]` of the angles (FOMAML, MAML), (FOMAML, Reptile), (MAML, Reptile).

    Example:
      >>> loss = lambda w, batch: 0.5 * jnp.sum((w - batch) ** 2)
      >>> found = meta_gradients(loss, jnp.ones(2), jnp.zeros((2, 2)), inner_lr=0.5)
      >>> similarities(found).round(4).tolist()
      [1.0, 1.0, 1.0]
    """
    one, two, three = (ravel_pytree(tree)[0] for tree in gradients)
    return jnp.stack([cosine(one, two), cosine(one, three), cosine(two, three)])


def cosine(one: jax.Array, other: jax.Array) -> jax.Array:
    """Cosine of the angle between two flat gradients, in [-1, 1].

    Example:
      >>> float(cosine(jnp.array([1.0, 0.0]), jnp.array([0.0, 2.0])))
      0.0
    """
    return one @ other / (jnp.linalg.norm(one) * jnp.linalg.norm(other))


def _flat(tree):
    return np.asarray(ravel_pytree(tree)[0], np.float64)
