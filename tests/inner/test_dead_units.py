"""The meta-gradient behind a dead unit is that of the net without it, in every optax chain."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxmeta.inner import inner_loop, rules

# The largest float16 is 65 504 and its smallest normal number 6e-5: 1e-8 would be zero.
ADAM = {"learning_rate": 0.1, "eps": 1e-3}
CHAINS = {
    "sgd": optax.sgd(0.1, momentum=0.9),
    "adam": optax.adam(0.1),
    "clip, adam": optax.chain(optax.clip_by_global_norm(0.1), optax.adam(0.1)),
    "scale, adam": optax.chain(optax.scale(1e-12), optax.adam(**ADAM)),
    "b2 near 1": optax.adam(b2=0.9999999, **ADAM),
    "rmsprop": optax.rmsprop(0.1, eps_in_sqrt=False),
    "adagrad": optax.adagrad(0.1, initial_accumulator_value=0.0),
    "lamb": optax.lamb(0.1),
    "radam": optax.radam(0.1),
    "nadam": optax.nadam(0.1),
    "adamax": optax.adamax(0.1),
    "centered rmsprop": optax.rmsprop(0.1, centered=True, momentum=0.9),
    "adadelta": optax.adadelta(0.1),
    "lars": optax.lars(0.1, weight_decay=0.1),
    "yogi": optax.yogi(0.1),
    "adabelief": optax.adabelief(0.1),
    "novograd": optax.novograd(0.1),
    "fromage": optax.fromage(0.1),
    "optimistic": optax.optimistic_gradient_descent(0.1),
    "adafactor": optax.adafactor(0.1),  # Its 1e-30 has a root whose derivative overflows.
    "adaptive clip, adamw": optax.chain(optax.adaptive_grad_clip(0.1), optax.adamw(0.1)),
    "adam over its norm": optax.chain(optax.adam(0.1), optax.normalize_by_update_norm()),
    "accumulated": optax.MultiSteps(optax.adam(0.1), 2).gradient_transformation(),
    "if finite": optax.apply_if_finite(optax.adam(0.1), 2),
    "noise of a root": optax.stateless(
        lambda updates, _: jax.tree.map(lambda g: jnp.abs(g) ** 0.5 * jnp.sign(g), updates)
    ),
}
QUICK = {"sgd", "adam", "clip, adam", "scale, adam", "b2 near 1", "adagrad", "noise of a root"}
QUICK |= {"radam", "adafactor", "optimistic"}  # The others are slow to compile.
chains = pytest.mark.parametrize(
    "tx",
    [pytest.param(tx, marks=() if n in QUICK else pytest.mark.slow) for n, tx in CHAINS.items()],
    ids=CHAINS.keys(),
)


def derivatives(tx, n_dead, dtype, order=1, derivative="reverse", remat=True):
    """Meta-gradients of a net with one live hidden unit and some dead ones, a leaf for each."""

    def net(weights, x):
        live = jnp.tanh(x * weights["live"][0]) * weights["live"][1]
        dead = jax.nn.relu(x * weights["dead"][0] - 100) * weights["dead"][1]
        return live + jnp.sum(dead)

    def loss(weights, x, y):
        return (net(weights, x) - y) ** 2

    def outer(start):
        adapted, _ = inner_loop(
            rules.from_optax(tx),
            lambda weights, _: loss(weights, x, y),
            {},
            start,
            steps=3,
            derivative=derivative,
            remat=remat,
        )
        return loss(adapted, x, -y)

    x, y = jnp.asarray(0.75, dtype), jnp.asarray(1.5, dtype)
    start = {
        "live": jnp.array([0.5, -0.75], dtype),
        "dead": jnp.full((2, n_dead), 0.5, dtype),
    }
    if order == 1:
        return (jax.jit(jax.grad(outer))(start),)
    # With them a product of the second derivatives and a vector.
    return jax.jit(lambda start: jax.jvp(jax.grad(outer), (start,), (start,)))(start)


@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
@chains
def test_meta_gradient_is_that_of_the_net_without_dead_units(x64, tx, dtype):
    check_dead_units_change_nothing(tx, dtype)


@pytest.mark.parametrize(
    "settings",
    [
        {"order": 2},
        {"derivative": "forward_over_reverse"},
        {"derivative": "first_order"},
        {"remat": False},
    ],
    ids=str,
)
def test_so_is_it_however_it_is_computed(x64, settings):
    check_dead_units_change_nothing(CHAINS["clip, adam"], "float64", **settings)


def check_dead_units_change_nothing(tx, dtype, **settings):
    with_dead, without = (derivatives(tx, n_dead, dtype, **settings) for n_dead in (3, 0))
    for one, other in zip(with_dead, without, strict=True):
        assert one["live"].dtype == dtype
        one, other = (np.asarray(part["live"], float) for part in (one, other))
        assert np.all(np.isfinite(other)) and np.all(other != 0)
        tolerance = {"float64": 1e-12, "float32": 1e-5, "bfloat16": 2**-6}[dtype]
        np.testing.assert_allclose(one, other, rtol=tolerance)


def test_no_gradient_at_all_leaves_the_weights_and_their_slope(x64):
    # The norm of nothing is the root of zero, by which the clip divides in a branch not taken.
    rule = rules.from_optax(CHAINS["clip, adam"])

    def outer(start):
        weights, _ = inner_loop(rule, lambda w, _: 0 * jnp.sum(w), {}, start, steps=2)
        return jnp.sum(weights**2)

    start = jnp.array([3.0, -2.0])
    np.testing.assert_array_equal(jax.grad(outer)(start), 2 * start)


def test_slope_of_adam_where_the_gradient_passes_zero(x64):
    # The first update is -lr g / (|g| + eps), of slope -lr / eps at zero.
    rule = rules.from_optax(optax.adam(0.1, eps=0.01))

    def moved(g):
        weights = jnp.zeros(1)
        return rule.update({}, rule.init_state({}, weights), weights, g, jnp.zeros(()))[0][0]

    np.testing.assert_allclose(jax.grad(moved)(jnp.zeros(1)), [-0.1 / 0.01], rtol=1e-12)


def test_slope_under_clipping_in_float16():
    # Gradients g = (3 w1, 4 w2, 0) at w = 1 have the norm 5 and are clipped to g / |g| / 2. The
    # slope of g1 / |g| is 3 (1 / 5 - 9 / 125) along w1 and -4 * 12 / 125 along w2.
    rule = rules.from_optax(optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(0.25)))

    def moved(w):
        g = jnp.array([3, 4, 0], jnp.float16) * w
        return rule.update({}, rule.init_state({}, w), w, g, jnp.zeros(()))[0][0]

    slope = jax.grad(moved)(jnp.ones(3, jnp.float16))
    expected = [1 - 0.125 * 3 * (1 / 5 - 9 / 125), 0.125 * 4 * 12 / 125, 0]
    np.testing.assert_allclose(slope, expected, rtol=4e-3, atol=0)


def test_programs_within_programs_are_followed():
    """A root within jit, cond, scan and checkpoint is one."""
    root = jax.jit(jnp.sqrt)

    def update(grads, state, params=None):
        del params
        grads, _ = jax.lax.scan(lambda g, _: (jax.checkpoint(root)(g), None), grads, length=2)
        return jax.lax.cond(grads[0] > 1, lambda g: g, lambda g: g**0.5, grads), state

    rule = rules.from_optax(optax.GradientTransformation(lambda params: (), update))

    def moved(g):
        return jnp.sum(rule.update({}, (), jnp.zeros(2), g, jnp.zeros(()))[0])

    # One is at the end of a live chain: d g^(1/8) / dg = 1/8 at 1.
    np.testing.assert_allclose(jax.grad(moved)(jnp.array([1.0, 0.0])), [0.125, 0], rtol=1e-6)


@pytest.mark.parametrize(
    "untaken",
    [
        lambda g: jnp.sqrt(-1.0 - 0 * g) * g,
        lambda g: g * jax.lax.rsqrt(g - 3),
        lambda g: jnp.log(g - 3),
        lambda g: (g - 3) ** 0.5,
        lambda g: g / (g - g),
        lambda g: jnp.square(jnp.exp(1e3 * g)),
    ],
)
def test_a_branch_not_taken_gives_nothing(untaken):
    """Under vmap a `cond` is a `where`, that computes both."""

    def update(grads, state, params=None):
        del params
        return jax.tree.map(lambda g: jnp.where(g < 3, 2 * g, untaken(g)), grads), state

    rule = rules.from_optax(optax.GradientTransformation(lambda params: (), update))

    def moved(g):
        return jnp.sum(rule.update({}, (), jnp.zeros(2), g, jnp.zeros(()))[0])

    np.testing.assert_array_equal(jax.grad(moved)(jnp.array([1.0, 2.0])), [2, 2])


def test_a_negative_base_keeps_its_slope():
    """The derivative along the exponent is that of no real number there."""

    def update(grads, state, params=None):
        del params
        return grads ** (2 + 0 * grads), state

    rule = rules.from_optax(optax.GradientTransformation(lambda params: (), update))

    def moved(g):
        return rule.update({}, (), jnp.zeros(1), g, jnp.zeros(()))[0][0]

    np.testing.assert_allclose(jax.grad(moved)(jnp.array([-3.0])), [-6], rtol=1e-6)
