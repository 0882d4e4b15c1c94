import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxmeta.losses import accuracy, squared_error
from jaxmeta.runs.settings import describe, differences, qualified_name
from jaxmeta.training import Validation

PARAMS = {"bias": jnp.zeros(3), "kernel": jnp.ones((2, 3)), "scale": jnp.float32(1.0)}


def settings(tx, steps=100, params=PARAMS, **validation):
    """As they come back from a checkpoint; JSON itself knows no NaN."""
    measure = Validation(lambda key: None, every=5, n_episodes=2, **validation)
    described = describe(jax.random.key(0), steps, 4, measure, tx, params)
    return json.loads(json.dumps(described, allow_nan=False))


def by_group(rate, other):
    labels = {"bias": "one", "kernel": "other", "scale": "one"}
    return optax.multi_transform({"one": optax.sgd(rate), "other": optax.sgd(other)}, labels)


def falling_at(boundary):
    return optax.sgd(optax.piecewise_constant_schedule(0.1, {boundary: 0.1}))


def by_place(numbers):
    """A rate of its own for each place of the kernel, in front of a momentum."""
    rates = {"bias": 1.0, "kernel": jnp.array(numbers), "scale": 1.0}

    def update(updates, state, params=None):
        return jax.tree.map(jnp.multiply, updates, rates), state

    scaled = optax.GradientTransformation(lambda params: optax.EmptyState(), update)
    return optax.chain(scaled, optax.sgd(0.1, momentum=0.9))


OTHERS = {
    "eps": (optax.adam(1e-3), optax.adam(1e-3, eps=1e-3), 100),
    "a smaller eps": (optax.adam(1e-3), optax.adam(1e-3, eps=1e-7), 100),
    "sign": (optax.sgd(1e-3), optax.sgd(-1e-3), 100),
    "boundary": (falling_at(2000), falling_at(5000), 10_000),
    "boundary of a long run": (falling_at(50_000), falling_at(52_000), 100_000),
    "boundary of a short run": (falling_at(3), falling_at(5), 8),
    "groups": (by_group(1e-3, 1e-2), by_group(1e-2, 1e-3), 100),
    "a rate too small beside another": (by_group(1e-9, 1.0), by_group(2e-9, 1.0), 100),
    "places": (
        by_place([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
        by_place([[2.0, 1.0, 3.0], [4.0, 5.0, 6.0]]),
        100,
    ),
    "decay": (optax.adamw(1e-3, weight_decay=1e-4), optax.adamw(1e-3, weight_decay=2e-4), 100),
    "clip": (
        optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3)),
        optax.chain(optax.clip_by_global_norm(2.0), optax.adam(1e-3)),
        100,
    ),
    "nesterov": (optax.sgd(0.1, 0.9), optax.sgd(0.1, 0.9, nesterov=True), 100),
    "accumulation": (
        optax.MultiSteps(optax.adam(1e-3), 4),
        optax.MultiSteps(optax.adam(1e-3), 8),
        100,
    ),
    "not finite": (optax.adam(1e-3, eps=0.0), optax.adam(1e-3), 100),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_optimiser_is_told(name):
    one, other, steps = OTHERS[name]
    before = settings(one, steps)
    assert differences(before, settings(one, steps)) == []
    (found,) = differences(before, settings(other, steps))
    assert found.startswith("tx is another optimiser or has other settings")


def test_a_longer_run_is_compared_at_its_start():
    def cosine(rate, steps):
        return optax.sgd(optax.cosine_decay_schedule(rate, steps))

    before = settings(cosine(0.1, 100), 100)
    assert differences(before, settings(cosine(0.1, 300), 300)) == []
    assert len(differences(before, settings(cosine(0.2, 300), 300))) == 1
    assert len(differences(before, settings(cosine(0.1, 300), 100))) == 1


def test_rounding_is_no_difference():
    """Of the second step of Adam, where another machine may round 1 - b2**2 otherwise."""
    before = settings(optax.adam(1e-3))
    now = settings(optax.adam(1e-3))
    now["tx"]["updates"] = (np.array(now["tx"]["updates"]) * (1 + 3e-5)).tolist()
    assert differences(before, now) == []


@pytest.mark.parametrize("tx", [[[1.0, 2.0, 3.0]] * 7, None])
def test_settings_of_an_older_form_are_compared_where_they_can_be(tx):
    now = settings(optax.adam(1e-3))
    before = {name: now[name] for name in ("key", "steps", "meta_batch_size")}
    before |= {"tx": tx} if tx else {}
    assert differences(before, now) == []
    assert differences(before | {"meta_batch_size": 2}, now) == ["meta_batch_size is 4, was 2"]


def test_of_other_parameters_the_optimiser_is_not_compared():
    """Their arrays are, and the message is about those."""
    fewer = {"kernel": PARAMS["kernel"]}
    assert differences(settings(optax.adam(1e-3), params=fewer), settings(optax.adam(1e-3))) == []


def test_metrics_are_compared_by_name():
    tx = optax.sgd(0.1)
    before = settings(tx, metric=accuracy)
    assert differences(before, settings(tx, metric=accuracy)) == []
    (found,) = differences(before, settings(tx, metric=squared_error))
    assert found.startswith("validation.metric is ") and "squared_error, was " in found


class Scaled:
    def __call__(self, outputs, query):
        return 2.0 * squared_error(outputs, query)


@pytest.mark.parametrize(
    "function, name",
    [
        (accuracy, f"{accuracy.__module__}.accuracy"),
        (jax.jit(accuracy), f"{accuracy.__module__}.accuracy"),
        (functools.partial(functools.partial(accuracy)), f"{accuracy.__module__}.accuracy"),
        (float.__gt__, "float.__gt__"),
        (Scaled(), f"{__name__}.Scaled"),
    ],
)
def test_a_name_is_the_same_in_every_process(function, name):
    assert qualified_name(function) == name
