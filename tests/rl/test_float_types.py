import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import rl


@pytest.mark.parametrize("policy", [rl.gru(4), rl.lstm(4)], ids=["gru", "lstm"])
def test_rl2_takes_float32_parameters_under_float64(x64, policy):
    """Observations are float64 there, while Flax draws float32: the memory keeps its own type."""
    environment = rl.environments.tabular_mdps(3, 2, horizon=2)
    agent = rl.rl2(policy, environment, episodes=2)
    task = environment.sample(jax.random.key(1))
    params = jax.tree.map(
        lambda leaf: leaf.astype(jnp.float32), agent.init(jax.random.key(0), task)
    )
    batch = jax.jit(agent.collect)(params, jax.random.key(2), task)
    replay = jax.jit(agent.replay)(params, batch)
    np.testing.assert_allclose(replay.log_ratio, 0, atol=1e-5)


POLICIES = {
    "transformer": rl.transformer(width=4, layers=1, heads=1),
    "snail": rl.snail(embedding=2, filters=2, n_blocks=1, key_size=2, value_size=2),
}


def check_acting_agrees_with_learning(policy, params_dtype):
    """Step by step the features are those of the whole trial at once, without a warning."""
    inputs = jax.random.normal(jax.random.key(0), (5, 3))
    params = jax.tree.map(
        lambda leaf: leaf.astype(params_dtype), policy.init(jax.random.key(1), inputs)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, features = jax.lax.scan(
            lambda memory, x: policy.step(params, memory, x), policy.start(params, 5), inputs
        )
    whole = policy.apply(params, inputs)
    assert features.dtype == whole.dtype == inputs.dtype
    tolerance = 1e-12 if features.dtype == jnp.float64 else 1e-5
    np.testing.assert_allclose(features, whole, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_policies_take_16_bit_parameters(policy, dtype):
    check_acting_agrees_with_learning(policy, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_policies_take_float32_and_float64_parameters_under_float64(x64, policy, dtype):
    check_acting_agrees_with_learning(policy, dtype)
