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
