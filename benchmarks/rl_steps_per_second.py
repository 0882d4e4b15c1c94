"""Environment steps per second through the whole meta-step of MAML-RL, against PyTorch, in one run.

    pip install -e '.[bench]'
    python benchmarks/rl_steps_per_second.py

2-D navigation of Finn et al. 2017: 20 tasks, 20 episodes of 100 steps before and 20 after one inner
step, a Gaussian policy of 100-100 units, linear baseline, REINFORCE with second derivatives, an
outer step of Adam. Both sides do all of it, in single precision, from the same weights:

    jaxmeta     one compiled program, the tasks shared among the cores as the command does
    one by one  PyTorch, one environment after another
    batched     PyTorch, the 20 episodes of a task in one batch of the policy, each environment a
                Python object stepped by itself, as vectorised reimplementations do

An environment step is one step of one episode. Mean returns before and after the inner step are
printed for each side: the work is the same up to the noise of the actions. Rounds alternate; the
medians and ratios are written to `benchmarks/results/rl_steps_per_second.json`. Takes a few minutes
on two cores.
"""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch

from jaxmeta import experiments, networks, rl
from jaxmeta.training import evaluate, init_state

RESULT = Path(__file__).parent / "results/rl_steps_per_second.json"
TASKS, EPISODES, HORIZON, HIDDEN = 20, 20, 100, 100
INNER_LR, OUTER_LR, DISCOUNT = 0.1, 1e-3, 0.99
STEPS = TASKS * 2 * EPISODES * HORIZON


class Navigation:
    """One environment, as gym has it."""

    def __init__(self, goal):
        self.goal = goal

    def reset(self):
        self.position = np.zeros(2, np.float32)
        return self.position

    def step(self, action):
        self.position = self.position + np.clip(action, -0.1, 0.1)
        offset = self.position - self.goal
        done = abs(offset[0]) < 0.01 and abs(offset[1]) < 0.01
        return self.position, -float(np.sqrt(offset @ offset)), done


def policy(weights, x):
    w0, b0, w1, b1, w2, b2, log_std = weights
    x = torch.relu(x @ w0 + b0)
    return torch.relu(x @ w1 + b1) @ w2 + b2, log_std


def log_prob(weights, observation, action):
    mean, log_std = policy(weights, observation)
    z = (action - mean) / torch.exp(log_std)
    return (-0.5 * z**2 - log_std - 0.5 * np.log(2 * np.pi)).sum(-1)


def act(weights, observations):
    with torch.no_grad():
        mean, log_std = policy(weights, torch.from_numpy(observations))
        return (mean + torch.exp(log_std) * torch.randn_like(mean)).numpy()


def empty_episodes():
    shape = (EPISODES, HORIZON)
    return (
        np.zeros((*shape, 2), np.float32),
        np.zeros((*shape, 2), np.float32),
        np.zeros(shape, np.float32),
        np.zeros(shape, bool),
    )


def episodes_one_by_one(weights, goal):
    observations, actions, rewards, valid = empty_episodes()
    environment = Navigation(goal)
    for episode in range(EPISODES):
        observation, done, time_step = environment.reset(), False, 0
        while time_step < HORIZON and not done:
            action = act(weights, observation[None])[0]
            observations[episode, time_step], actions[episode, time_step] = observation, action
            observation, rewards[episode, time_step], done = environment.step(action)
            valid[episode, time_step] = True
            time_step += 1
    return observations, actions, rewards, valid


def episodes_batched(weights, goal):
    observations, actions, rewards, valid = empty_episodes()
    environments = [Navigation(goal) for _ in range(EPISODES)]
    now = np.stack([environment.reset() for environment in environments])
    alive = np.ones(EPISODES, bool)
    for time_step in range(HORIZON):
        chosen = act(weights, now)
        observations[:, time_step], actions[:, time_step] = now, chosen
        now = now.copy()
        for episode, environment in enumerate(environments):
            if alive[episode]:
                valid[episode, time_step] = True
                step = environment.step(chosen[episode])
                now[episode], rewards[episode, time_step] = step[0], step[1]
                alive[episode] = not step[2]
    return observations, actions, rewards, valid


def advantages_of(observations, rewards, valid):
    returns = np.zeros_like(rewards)
    after = np.zeros(EPISODES, np.float32)
    for time_step in reversed(range(HORIZON)):
        after = rewards[:, time_step] + DISCOUNT * after
        returns[:, time_step] = after
    times = np.broadcast_to(np.arange(HORIZON)[:, None] / 100, (EPISODES, HORIZON, 1))
    parts = [observations, observations**2, times, times**2, times**3, np.ones_like(times)]
    features = np.concatenate(parts, axis=-1)[valid].astype(np.float64)
    gram = features.T @ features
    ridge = 1e-5 * np.trace(gram) / len(gram) * np.eye(len(gram))
    weights = np.linalg.solve(gram + ridge, features.T @ returns[valid])
    values = returns[valid] - features @ weights  # With lambda 1, the return less the baseline.
    advantages = np.zeros_like(rewards)
    advantages[valid] = (values - values.mean()) / (values.std() + 1e-8)
    return advantages


def torch_step(weights, optimiser, act_episodes, goals):
    """One meta-step; mean returns before and after the inner step."""
    optimiser.zero_grad()
    before, after = [], []
    for goal in goals:
        observations, actions, rewards, valid = act_episodes(weights, goal)
        before.append(rewards.sum(1).mean())
        loss = surrogate(weights, observations, actions, rewards, valid)
        grads = torch.autograd.grad(loss, weights, create_graph=True)
        adapted = [w - INNER_LR * g for w, g in zip(weights, grads, strict=True)]
        observations, actions, rewards, valid = act_episodes(adapted, goal)
        after.append(rewards.sum(1).mean())
        (surrogate(adapted, observations, actions, rewards, valid) / TASKS).backward()
    optimiser.step()
    return float(np.mean(before)), float(np.mean(after))


def surrogate(weights, observations, actions, rewards, valid):
    advantages = torch.from_numpy(advantages_of(observations, rewards, valid))
    log_probs = log_prob(weights, torch.from_numpy(observations), torch.from_numpy(actions))
    mask = torch.from_numpy(valid)
    return -(log_probs * advantages)[mask].sum() / mask.sum()


def torch_weights(params):
    layers = params["net"]["params"]
    arrays = [layers[name][part] for name in ("dense_0", "dense_1", "head") for part in PARTS]
    arrays.append(params["actions"]["log_std"])
    return [torch.tensor(np.array(array), requires_grad=True) for array in arrays]


PARTS = ("kernel", "bias")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    experiments.use_all_cores()
    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count() or 1)
    world = rl.environments.navigation()
    net = networks.mlp(2, hidden=(HIDDEN, HIDDEN), kernel_init=jax.nn.initializers.glorot_uniform())
    agent, tx = rl.maml_rl(net, world, inner_lr=INNER_LR, discount=DISCOUNT), optax.adam(OUTER_LR)
    state = init_state(jax.random.key(0), agent, tx, world.sample)
    weights = torch_weights(state.params)
    optimiser = torch.optim.Adam(weights, lr=OUTER_LR)
    score = rl.acting(lambda returns: returns[1])
    at_start = evaluate(
        agent, state.params, world.sample, n_episodes=TASKS, key=jax.random.key(1), score=score
    )
    devices = jax.device_count()
    step = rl.a2c()(agent, tx, world.sample, meta_batch_size=TASKS, devices=devices)
    key, rng = jax.random.key(2), np.random.default_rng(0)
    state, _ = jax.block_until_ready(step(state, key))  # Compiles.

    def ours():
        nonlocal state
        state, info = step(state, key)
        jax.block_until_ready(info)

    def loop(act_episodes):
        def run():
            goals = rng.uniform(-0.5, 0.5, (TASKS, 2)).astype(np.float32)
            return torch_step(weights, optimiser, act_episodes, goals)

        return run

    sides = {
        "jaxmeta": ours,
        "one by one": loop(episodes_one_by_one),
        "batched": loop(episodes_batched),
    }
    seconds, returns = (
        {name: [] for name in sides},
        {"jaxmeta": list(map(float, at_start.curve[:2]))},
    )
    for number in range(rounds):
        for name, run in sides.items():
            repeats = 3 if name == "jaxmeta" else 1
            begin = time.perf_counter()
            for _ in range(repeats):
                result = run()
            seconds[name].append((time.perf_counter() - begin) / repeats)
            if result is not None and not number:
                returns[name] = list(result)
    rates = {name: STEPS / statistics.median(times) for name, times in seconds.items()}
    for name, rate in rates.items():
        print(
            f"{name:11} {rate:10.0f} environment steps/s, jaxmeta {rates['jaxmeta'] / rate:5.1f} "
            f"times as fast; returns at the start {returns[name][0]:.1f}, {returns[name][1]:.1f}"
        )
    assert jnp.isfinite(jnp.asarray(returns["jaxmeta"])).all()
    content = {
        "steps_of_a_meta_step": STEPS,
        "environment_steps_per_second": {name: round(rate) for name, rate in rates.items()},
        "times_faster": {name: round(rates["jaxmeta"] / rate, 1) for name, rate in rates.items()},
        "returns_at_the_start": {
            name: [round(value, 2) for value in pair] for name, pair in returns.items()
        },
        "seconds_of_a_meta_step": {name: statistics.median(s) for name, s in seconds.items()},
        "cores": os.cpu_count(),
        "devices": devices,
        "load_average": os.getloadavg()[0],
        "jax": jax.__version__,
        "torch": torch.__version__,
        "processor": platform.processor() or platform.machine(),
        "backend": jax.default_backend(),
    }
    RESULT.write_text(json.dumps(content, indent=2) + "\n")
    print(f"wrote {RESULT}")


if __name__ == "__main__":
    main()
