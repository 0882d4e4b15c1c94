# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # MAML in two dimensions
#
# A task is a goal in the plane that the agent does not see; it sees where it stands, moves by at most
# 0.1 in each direction, and is paid minus its distance to the goal (Finn et al. 2017, section 5.3).
# MAML looks for a policy from which *one* policy-gradient step on twenty episodes finds any goal.
# Acting, the inner step, its second derivatives and the outer trust region step are one compiled
# program, so this runs in a minute or two on two cores. Episodes have 20 steps here, not 100.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import jaxmeta
from jaxmeta import rl

world = rl.environments.navigation(horizon=20)

# %% [markdown]
# ## An agent
#
# An agent acts, and can replay what it did under other parameters: that is all an outer update asks.
# `low_variance_curvature` says how the inner policy gradient is estimated. All estimators take the
# same step; they differ in its derivative, hence in the meta-gradient. `inner_steps=0` is the
# baseline: one policy for all goals, from which the same gradient steps are taken at test.


# %%
def agent(inner_steps):
    net = jaxmeta.networks.mlp(
        2, hidden=(32, 32), activation=jnp.tanh, kernel_init=jax.nn.initializers.glorot_uniform()
    )
    return rl.maml_rl(
        net,
        world,
        inner_lr=0.1,
        inner_steps=inner_steps,
        episodes=20,
        inner_loss=rl.low_variance_curvature,
    )


def train(inner_steps, steps=60):
    learner, tx = agent(inner_steps), optax.identity()  # The trust region is the optimiser.
    state = jaxmeta.init_state(jax.random.key(0), learner, tx, world.sample)
    start = jax.tree.map(jnp.copy, state.params)  # The step takes the state for itself.
    step = rl.trpo(max_kl=0.02)(learner, tx, world.sample, meta_batch_size=20, steps_per_call=20)
    returns = []
    for _ in range(steps // 20):
        state, info = step(state, jax.random.key(1))
        returns.append(-info.loss)
    return start, state.params, np.concatenate(returns)


random, maml, maml_returns = train(inner_steps=1)
_, pretrained, pretrained_returns = train(inner_steps=0)

# %%
figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
axes.plot(maml_returns, label="MAML, after one step")
axes.plot(pretrained_returns, label="pretrained on all goals")
axes.set(xlabel="meta-step", ylabel="return in training")
axes.grid(alpha=0.3)
axes.legend()
plt.show()

# %% [markdown]
# ## Goals never seen
#
# The same hundred new goals for all three: MAML, the pretrained policy, and fresh parameters.

# %%
score = jaxmeta.training.make_evaluate(
    agent(1), world.sample, n_episodes=100, score=rl.acting(lambda returns: returns[1])
)
figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
for name, params in {"MAML": maml, "pretrained": pretrained, "random": random}.items():
    result = score(params, jax.random.key(2))
    axes.errorbar(range(4), result.curve, result.curve_interval, marker="o", capsize=3, label=name)
    print(f"{name:11}", ", ".join(f"{value:.2f}" for value in result.curve))
axes.set(xlabel="gradient steps", ylabel="return, 100 goals", xticks=range(4))
axes.grid(alpha=0.3)
axes.legend()
plt.show()

# %% [markdown]
# Before any step MAML's policy wanders about, as it cannot know where to go; after one step it goes
# there. The pretrained policy has learned to stay in the middle, and leaves it slowly.
#
# ## Paths
#
# Twenty episodes each, before the first step and after one, two and three.

# %%
figure, panels = plt.subplots(3, 4, figsize=(9, 7), layout="constrained")
test = jax.jit(agent(1).test)
for row, goal in zip(panels, ([0.4, 0.3], [-0.45, 0.1], [0.05, -0.4]), strict=True):
    trajectories = test(maml, jax.random.key(3), jnp.array(goal)).trajectories
    for steps, axes in enumerate(row):
        for position, is_valid in zip(
            trajectories.seen.observation[steps], trajectories.is_valid[steps], strict=True
        ):
            axes.plot(*np.asarray(position)[np.asarray(is_valid)].T, color="C0", alpha=0.4)
        axes.plot(0, 0, "k.")
        axes.plot(*goal, "*", color="C3", markersize=12)
        axes.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal", xticks=(), yticks=())
        if goal[0] == 0.4:
            axes.set_title(f"after {steps}" if steps else "before")
plt.show()
