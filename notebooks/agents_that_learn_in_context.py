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
# # Agents that learn in their context
#
# A decision-pretrained transformer (Lee et al. 2023) never takes a gradient step in a new task. It reads
# what happened so far, a set of transitions, and names the best action. It is trained like a classifier:
# a context from some task, and as its label the best action there. A net that does this well answers
# with the *posterior* of the best action, and an agent that acts by drawing from this posterior does
# Thompson sampling. With three arms and six pulls both can be computed exactly, so we can look.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import jaxmeta
from jaxmeta import rl

ARMS, PULLS = 3, 6
bandit = rl.environments.bernoulli_bandits(ARMS)
reader = rl.context_reader(width=16, layers=2)
agent = rl.decision_pretrained(reader, bandit, context=PULLS, episodes=PULLS)

# %% [markdown]
# ## Training on given data
#
# `rl.imitation()` raises the log-likelihood of given actions; it is a `make_step` like all others. The
# loss is the cross-entropy in nats over all prefixes of a context, of 0 to 6 pulls.

# %%
tx = optax.adam(optax.cosine_decay_schedule(4e-3, 1500))
state = jaxmeta.init_state(jax.random.key(0), agent, tx, bandit.sample)
step = rl.imitation()(agent, tx, bandit.sample, meta_batch_size=128, steps_per_call=100)
losses = []
for _ in range(15):
    state, info = step(state, jax.random.key(1))
    losses.append(info.loss)
losses = np.concatenate(losses)
figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
axes.plot(np.convolve(losses, np.ones(50) / 50, mode="valid"))
axes.set(xlabel="step", ylabel="cross-entropy in nats")
axes.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## Its answers beside the exact posterior
#
# `rl.bandits.best_arm_posterior` integrates the posterior of the best arm without error. A context is six
# pulls; on the right the same question with the pulls in another order: the net reads a set.


# %%
def answer(arms, paid):
    """Shares of the arms, after these pulls."""
    rows = jnp.concatenate(
        [
            jnp.ones((PULLS, 1)),
            jax.nn.one_hot(arms, ARMS),
            jnp.ones((PULLS, 1)),
            jnp.array(paid, float)[:, None],
        ],
        axis=1,
    )
    encoded = reader.encode(state.params["reader"], rows)
    is_seen = jnp.ones((1, PULLS), bool)
    logits = rl.best_action_logits(reader, state.params, encoded, jnp.ones((1, 1)), is_seen)
    return jax.nn.softmax(logits[0])


contexts = [
    ([0, 0, 1, 1, 2, 2], [1, 0, 1, 1, 0, 0]),
    ([0, 0, 0, 0, 1, 1], [1, 1, 1, 0, 1, 1]),
    ([2, 2, 2, 2, 2, 2], [0, 0, 0, 1, 0, 0]),
]
figure, panels = plt.subplots(1, 3, figsize=(10, 3), layout="constrained", sharey=True)
for axes, (arms, paid) in zip(panels, contexts, strict=True):
    arms, paid = np.array(arms), np.array(paid)
    won = np.bincount(arms, weights=paid, minlength=ARMS)
    exact = rl.bandits.best_arm_posterior(won, np.bincount(arms, minlength=ARMS) - won)
    order = np.random.default_rng(0).permutation(PULLS)
    ours, shuffled = answer(arms, paid), answer(arms[order], paid[order])
    place = np.arange(ARMS)
    axes.bar(place - 0.27, exact, 0.27, label="exact")
    axes.bar(place, ours, 0.27, label="net")
    axes.bar(place + 0.27, shuffled, 0.27, label="net, shuffled")
    axes.set(xlabel="arm", xticks=place, title=f"paid {won.astype(int)}")
    distance = np.abs(exact - ours).sum() / 2
    print(f"total variation {distance:.3f}; by shuffling {np.abs(ours - shuffled).max():.0e}")
panels[0].set_ylabel("probability to be the best")
panels[0].legend(fontsize="small")
plt.show()

# %% [markdown]
# ## Acting
#
# Drawn from the posterior, the actions are those of Thompson sampling; `greedy=True` takes the likeliest
# one. In so few pulls that is better, and close to the best there is.

# %%
thrifty = rl.decision_pretrained(reader, bandit, context=PULLS, episodes=PULLS, greedy=True)
for name, acting in {"net, drawing": agent, "net, greedy": thrifty}.items():
    result = jaxmeta.evaluate(
        acting,
        state.params,
        bandit.sample,
        n_episodes=4000,
        key=jax.random.key(2),
        score=rl.acting(),
    )
    total = result.curves.sum(1)
    print(f"{name:18} {total.mean():.3f} ± {1.96 * total.std() / np.sqrt(4000):.3f}")


def thompson(key):
    key_task, key_play = jax.random.split(key)
    arms = bandit.sample(key_task)
    return arms[rl.bandits.play(rl.bandits.thompson, key_play, arms, PULLS)].sum()


played = jax.vmap(thompson)(jax.random.split(jax.random.key(3), 4000))
print(f"{'Thompson sampling':18} {played.mean():.3f} ± {1.96 * played.std() / np.sqrt(4000):.3f}")
print(f"{'Bayes optimum':18} {rl.bandits.bayes_optimal(ARMS, PULLS).sum():.3f}")

# %% [markdown]
# The same agent in rooms whose goal cannot be seen: `jaxmeta train dark-room-dpt`. An agent that imitates
# how another *learns*: `jaxmeta train dark-room-ad`. One that is asked for a return, with a replay buffer
# in its checkpoints: `jaxmeta train dark-room-odt`.
