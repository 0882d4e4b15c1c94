import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxmeta import networks, rl
from jaxmeta.rl import locomotion
from jaxmeta.training import init_state

WORLDS = [
    locomotion.half_cheetah_direction,
    locomotion.half_cheetah_velocity,
    locomotion.ant_direction,
    locomotion.ant_velocity,
]


@pytest.fixture(scope="module")
def brax():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(
            "brax.envs", reason="needs the extra `brax`", exc_type=ImportError
        )


def world(build, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Brax about itself.
        return build(**settings)


def test_rewards_by_hand(brax):
    del brax
    both = {
        name: world(build, backend="spring", horizon=2)
        for name, build in (
            ("direction", locomotion.half_cheetah_direction),
            ("velocity", locomotion.half_cheetah_velocity),
        )
    }
    cheetah = both["direction"]
    state, observation = jax.jit(cheetah.reset)(jax.random.key(0), 1.0)
    assert observation.shape == (17,) and cheetah.actions.size == 6
    action = jnp.array([2.0, 0, 0, 0, 0, -0.5])  # Clipped to 1: costs 0.05 * 1.25.
    steps = jax.jit(
        lambda action: [
            both[name].step(jax.random.key(1), state, action, task)
            for name, task in (("direction", 1.0), ("direction", -1.0), ("velocity", 1.5))
        ]
    )(action)
    velocity = steps[0].state.metrics["x_velocity"]
    assert abs(velocity) > 1e-3
    expected = [velocity, -velocity, -abs(velocity - 1.5)]
    rewards = [step.reward for step in steps]
    np.testing.assert_allclose(rewards, np.array(expected) - 0.0625, rtol=1e-5)
    tasks = jax.vmap(cheetah.sample)(jax.random.split(jax.random.key(0), 100))
    assert set(tasks.tolist()) == {-1.0, 1.0}


def test_rewards_of_the_ant_by_hand_and_its_fall(brax):
    direction = world(locomotion.ant_direction, backend="spring", horizon=2)
    velocity = world(locomotion.ant_velocity, backend="spring", horizon=2)
    state, observation = jax.jit(direction.reset)(jax.random.key(0), 1.0)
    assert observation.shape == (27,) and direction.actions.size == 8
    action = jnp.zeros(8).at[0].set(3.0)  # Clipped to 1: costs 0.005.
    key = jax.random.key(1)
    step = jax.jit(direction.step)
    back, to_two = step(key, state, action, -1.0), jax.jit(velocity.step)(key, state, action, 2.0)
    v = back.state.metrics["x_velocity"]
    assert abs(v) > 1e-3 and not back.done
    np.testing.assert_allclose(back.reward, -v - 0.005 + 0.05, rtol=1e-5)
    np.testing.assert_allclose(to_two.reward, 1 - abs(v - 2) - 0.005 + 0.05, rtol=1e-5)
    ant = world(brax.get_environment, env_name="ant", backend="spring")
    high = ant.pipeline_init(ant.sys.init_q.at[2].set(3.0), jnp.zeros(ant.sys.qd_size()))
    lifted = state.replace(pipeline_state=high)
    assert step(key, lifted, action, 1.0).done


@pytest.mark.slow
@pytest.mark.parametrize("build", WORLDS)
def test_maml_runs_end_to_end(brax, build):
    del brax
    robot = world(build, horizon=3)
    net = networks.mlp(robot.actions.n_outputs, hidden=(4,))
    agent = rl.maml_rl(net, robot, episodes=2, test_inner_lrs=(0.1,))
    tx = optax.identity()
    step = rl.trpo()(agent, tx, robot.sample, meta_batch_size=2)
    state = init_state(jax.random.key(0), agent, tx, robot.sample)
    before = state.params["actions"]["log_std"].copy()
    state, info = step(state, jax.random.key(1))
    assert np.isfinite(info.loss).all() and info.grad_norm[0] > 0
    assert jnp.abs(state.params["actions"]["log_std"] - before).max() > 0


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="horizon must be >= 1, got 0"):
        locomotion.half_cheetah_direction(horizon=0)
    with pytest.raises(ValueError, match=r"backend must be one of generalized, .*'physx'"):
        locomotion.half_cheetah_velocity(backend="physx")
