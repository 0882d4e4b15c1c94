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
# # A memory along a stream
#
# Characters of three unknown classes come one after the other. Each must be named before its label is
# shown, and the names are dealt anew in every stream. So nothing about the names can be learned: a net
# has to write down what it meets and look it up again. A memory-augmented neural network (MANN,
# Santoro et al. 2016) is a recurrent net with a table of slots beside it. We train a small one, set it
# beside the nearest neighbour and beside the same net without its table, and then look into the slots.
# The whole takes about four minutes on two busy cores.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import jaxmeta
from jaxmeta.learners import memory

# %% [markdown]
# ## Streams
#
# Training is on Latin and Cyrillic characters and on digits; the test is on Greek and Armenian ones.
# All were rendered from the typefaces that matplotlib brings.

# %%
data = jaxmeta.datasets.glyphs()
STREAM = {"n_way": 3, "per_class": 6}
training = jaxmeta.tasks.streams(data.meta_train, **STREAM)
testing = jaxmeta.tasks.streams(data.meta_test, **STREAM)

stream = testing(jax.random.key(5))
classes = np.asarray(stream.y.argmax(1))
shown = min(12, len(classes))
figure, panels = plt.subplots(1, shown, figsize=(11, 1.4), layout="constrained")
for step, axes in enumerate(panels):
    axes.imshow(stream.x[step, ..., 0], cmap="gray_r")
    axes.set(xticks=[], yticks=[])
    axes.set_title(f"step {step + 1}\nclass {classes[step]}", fontsize="small")
plt.show()

# %% [markdown]
# ## Eyes first
#
# A recurrent net that starts from pixels spends most of its training on learning to see (the recipe
# `glyphs-mann-3` takes 6000 steps of 16 streams). We shorten that: a small perceptron is trained for a
# few seconds by prototypical networks, on the training characters alone, and then stays as it is. Any
# object with `init` and `apply` is a net; this one has nothing to learn any more.

# %%
perceptron = jaxmeta.networks.mlp(
    32, hidden=(128,), kernel_init=jax.nn.initializers.glorot_normal()
)
prototypes, tx = jaxmeta.prototypical(perceptron), optax.adam(1e-3)
episodes = jaxmeta.tasks.episodes(data.meta_train, n_way=10, k_shot=1, q_queries=5)
state = jaxmeta.init_state(jax.random.key(0), prototypes, tx, episodes)
step = jaxmeta.make_step(prototypes, tx, episodes, meta_batch_size=8, steps_per_call=100)
for _ in range(6):
    state, info = step(state, jax.random.key(1))
weights = state.params
print(f"loss among ten classes: {info.loss.mean():.2f} nats, of a guess {np.log(10):.2f}")


class Eyes:
    """The trained perceptron, its outputs brought to a mean square of one."""

    def init(self, key, x):
        return {}

    def apply(self, params, x):
        features = perceptron.apply(weights, x)
        return features / jnp.sqrt(jnp.square(features).mean(1, keepdims=True) + 1e-6)


# %% [markdown]
# ## Train with and without a memory
#
# The table has 12 slots of 16 numbers and two heads. Least recently used access writes to the slots
# that were read last or not used for longest; reading is by the cosine with a key, made sharper by a
# factor of eight. `no_memory` leaves the recurrent net by itself, which may still keep in its own state
# what it has seen.

# %%
STEPS, PER_CALL, BATCH = 1500, 100, 16
with_table = {
    "controller": memory.lstm(64),
    "memory": memory.lrua(slots=12, width=16, heads=2, strength=8.0),
}
without = {"controller": memory.lstm(64), "memory": memory.no_memory()}


def train(learner):
    rate = optax.cosine_decay_schedule(5e-3, STEPS)
    tx = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(rate))
    state = jaxmeta.init_state(jax.random.key(0), learner, tx, training)
    step = jaxmeta.make_step(learner, tx, training, meta_batch_size=BATCH, steps_per_call=PER_CALL)
    losses = []
    for _ in range(STEPS // PER_CALL):
        state, info = step(state, jax.random.key(1))
        losses.append(float(info.loss.mean()))
    return state.params, losses


learners = {
    "MANN": jaxmeta.mann(Eyes(), **with_table),
    "without memory": jaxmeta.mann(Eyes(), **without),
}
trained, figure = {}, plt.figure(figsize=(6.5, 3.5), layout="constrained")
axes = figure.subplots()
for name, learner in learners.items():
    trained[name], losses = train(learner)
    axes.plot(PER_CALL * np.arange(1, len(losses) + 1), losses, label=name)
axes.axhline(np.log(3), color="black", linestyle=":", label="a guess among three")
axes.set(xlabel="meta-step", ylabel="loss over whole streams, nats", ylim=(0, None))
axes.grid(alpha=0.3)
axes.legend()
plt.show()

# %% [markdown]
# ## Accuracy by presentation
#
# `online` scores every step of a stream and sorts the steps by how often their class was shown before.
# At the first presentation of a stream nobody can know the name; at the last class's first presentation
# one can, by elimination: all three names are used. Two floors: `nearest_seen` gives the label of the
# nearest earlier picture, once pixel by pixel with nothing learned, once in the space of the same eyes. All meet the same 400 streams.

# %%


def seen(sample):
    """Streams as the eyes see them."""

    def through_eyes(key):
        stream = sample(key)
        return stream._replace(x=Eyes().apply({}, stream.x))

    return through_eyes


floors = {"nearest pixels": testing, "nearest by the eyes": seen(testing)}
learners |= {name: memory.nearest_seen() for name in floors}
trained |= {name: {} for name in floors}
results = {
    name: jaxmeta.evaluate(
        learner,
        trained[name],
        floors.get(name, testing),
        n_episodes=400,
        key=jax.random.key(2),
        score=jaxmeta.online(STREAM["per_class"]),
        episodes_at_once=50,
    )
    for name, learner in learners.items()
}
figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
presentations = np.arange(1, STREAM["per_class"] + 1)
for name, result in results.items():
    mean, width = 100 * result.curve, 100 * result.curve_interval
    axes.plot(presentations, mean, "o-", label=name)
    axes.fill_between(presentations, mean - width, mean + width, alpha=0.2)
    print(f"{name:19}", "  ".join(f"{value:5.1f}" for value in mean), " % by presentation")
axes.axhline(100 / 3, color="black", linestyle=":", label="a guess among three")
axes.set(xlabel="presentation of a class", ylabel="accuracy, % (95% interval)", ylim=(0, 100))
axes.set_xticks(presentations)
axes.grid(alpha=0.3)
axes.legend()
plt.show()

for other in ("without memory", *floors):
    gain = 100 * (results["MANN"].per_episode - results[other].per_episode)
    interval = 1.96 * gain.std(ddof=1) / len(gain) ** 0.5
    print(f"MANN - {other}: {gain.mean():+.1f} ± {interval:.1f} percentage points, same streams")

# %% [markdown]
# From the second presentation on, MANN names four characters in five. The nearest pixels are far
# behind, the nearest neighbour by the same eyes is ahead: at the later presentations a stored copy of
# every row is a better memory than twelve slots. At the first presentation it must name a class it has
# seen, and is wrong, where the two learners use elimination. And without its table MANN loses only some two
# points: for three classes the state of 64 units holds most of what there is to know. The table
# makes learning faster, as the curves above show, and its worth should grow with the number of classes; we did
# not measure that here.
#
# ## Where it writes and where it reads
#
# `reads_and_writes` runs the same net along a stream and keeps the weights over the slots. Colour is
# the class of the step, strength is the weight, both heads added up.

# %%
look = jax.jit(memory.reads_and_writes(Eyes(), **with_table))
trace = look(trained["MANN"], stream)
is_right = np.asarray(trace.outputs.argmax(1)) == classes
colours = np.array([plt.get_cmap("tab10")(number)[:3] for number in range(3)])

figure, panels = plt.subplots(2, 1, figsize=(9, 7), sharex=True, layout="constrained")
for axes, name in zip(panels, ("write", "read"), strict=True):
    weights = np.asarray(getattr(trace.access, name).sum(1)).T  # [slots, T]
    strength = np.clip(weights / weights.max(), 0, 1)[..., None]
    axes.imshow(1 - strength * (1 - colours[classes]), aspect="auto", origin="lower")
    axes.set(ylabel="slot", title=f"{name} weights", yticks=range(0, 12, 4))
wrong = np.flatnonzero(~is_right)
panels[1].plot(wrong, np.full(len(wrong), -0.2), "kx", label="named wrongly", clip_on=False)
for number, colour in enumerate(colours):
    panels[1].plot([], [], "s", color=colour, label=f"class {number}")
panels[1].set(xlabel="step")
panels[1].set_xticks(range(0, len(classes), 3), range(1, len(classes) + 1, 3))
figure.legend(*panels[1].get_legend_handles_labels(), loc="outside right center")
plt.show()

# %% [markdown]
# A picture of one stream proves little. Over 200 streams we ask, at each step whose class was met
# before: how much of what is read was last written for the same class? A slot belongs to the class
# of the row before it was written most, because a row's label arrives one step late, or to the class of
# that step itself: we print both, beside what a reading that knows nothing would find.


# %%
def owners(writes, classes):
    """The class of the step that last wrote each slot with at least half of a head: `[T, slots]`."""
    owner, rows = np.full(writes.shape[1], -1), []
    for weights, now in zip(writes, classes, strict=True):
        rows.append(owner.copy())  # What is in the slots before this step writes.
        owner = np.where(weights > 0.5, now, owner)
    return np.array(rows)


def share_of_same_class(key):
    stream = testing(key)
    trace = look(trained["MANN"], stream)
    classes = np.asarray(stream.y.argmax(1))
    writes, reads = (np.asarray(part.sum(1)) for part in (trace.access.write, trace.access.read))
    found = []
    for label in (classes, np.concatenate([[-1], classes[:-1]])):
        owner = owners(writes, label)
        is_owned, is_same = owner >= 0, owner == classes[:, None]
        later = np.array([now in classes[:t] for t, now in enumerate(classes)])
        read = (reads * is_same).sum(1) / np.maximum((reads * is_owned).sum(1), 1e-9)
        chance = is_same.sum(1) / np.maximum(is_owned.sum(1), 1)
        counts = later & is_owned.any(1)
        found.append((read[counts].mean(), chance[counts].mean()))
    return found


shares = 100 * np.array(
    [share_of_same_class(key) for key in jax.random.split(jax.random.key(8), 200)]
)
for number, name in enumerate(("class of the writing step", "class of the step before it")):
    mean, chance = shares[:, number].mean(0)
    gain = shares[:, number, 0] - shares[:, number, 1]
    interval = 1.96 * gain.std(ddof=1) / len(gain) ** 0.5
    print(f"{name}: {mean:.1f} % of the reading falls on the same class, {chance:.1f} % by chance")
    print(f"    difference {gain.mean():+.1f} ± {interval:.1f} percentage points")

# %% [markdown]
# Writing goes round the least used slots, one or two for nearly every step. Half of the reading falls on slots
# that were written for the same class, where a third would by chance. The owner is the step that wrote: by
# the step before it the share is below chance. So a slot holds what was seen, though its label comes one
# step later; that the net knows the name must then come from its recurrent state as well.
