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
# # Second-order gradients, measured
#
# What do MAML, FOMAML and Reptile follow? Nichol, Achiam & Schulman (2018, section 5.1) expand their
# directions in the inner rate a. With k minibatches of a task, their gradients g_i and Hessians H_i
# at the start, and expectations over minibatches in random order,
#
# | | direction, up to O(a^2) |
# |---|---|
# | FOMAML | A - (k - 1) a B |
# | MAML | A - 2 (k - 1) a B |
# | Reptile | k A - k (k - 1) / 2 a B |
#
# A = E[g_1] (*AvgGrad*) descends the joint loss. B = E[H_2 g_1] (*AvgGradInner*) is half the gradient
# of the inner product of two minibatches' gradients: going against it makes them agree, so that a
# step on one helps the other. `jaxmeta.analysis` measures all of this on any loss.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import jaxmeta
from jaxmeta import analysis, plots

# %% [markdown]
# ## The expansion holds
#
# One sinusoid, four minibatches of ten points, a small tanh net, float64.

# %%
net = jaxmeta.networks.mlp(
    1, hidden=(20, 20), activation=jnp.tanh, kernel_init=jax.nn.initializers.glorot_normal()
)


def loss(weights, batch):
    x, y = batch
    return jnp.mean((net.apply(weights, x) - y) ** 2)


def minibatches(key, k):
    points = jaxmeta.tasks.sinusoid(k_shot=10 * k)(key).support
    return tuple(leaf.reshape(k, 10, 1) for leaf in (points.x, points.y))


rates = np.geomspace(1e-4, 3e-2, 8)
with jax.enable_x64(True):

    def double(tree):
        return jax.tree.map(lambda leaf: leaf.astype(jnp.float64), tree)

    weights = double(net.init(jax.random.key(0), jnp.zeros((1, 1))))
    found = {
        k: analysis.expansion(
            loss, weights, double(minibatches(jax.random.key(1), k)), inner_lrs=rates
        )
        for k in (2, 3, 4)
    }

figure, panels = plt.subplots(1, 3, figsize=(16, 4), layout="constrained")
plots.coefficients(found[4], axes=panels[0])
plots.residuals(found[4], axes=panels[1])
plots.similarities(rates, found[4].cosine, axes=panels[2], along="inner rate")
panels[2].set_xscale("log")
for panel in panels:
    panel.grid(alpha=0.3)
    panel.legend(fontsize="small")
figure.suptitle("k = 4 minibatches")
plt.show()

# %%
print("coefficients of A and of a B, measured at a = 1e-4, and in theory")
for k, result in found.items():
    for method, measured, theory in zip(
        plots.METHOD_NAMES, result.coefficients[0], result.theory, strict=True
    ):
        print(f"k = {k}  {method:8} {measured.round(3)}   {theory}")

# %% [markdown]
# The residual falls by four with each halving of a: it is of order a^2. With MAML's and FOMAML's
# coefficients exchanged it would fall by two only. FOMAML has half of MAML's second-order term, and
# Reptile's share of B against A, a (k - 1) / 2, is FOMAML's again halved: none of them ignores it.
#
# ## Along training
#
# How far do the three directions part while MAML learns? Float32 is enough for the angles.

# %%
learner = jaxmeta.maml(
    net, rule=jaxmeta.rules.sgd(0.02), inner_steps=3, loss_fn=optax.squared_error
)
sample, tx = jaxmeta.tasks.sinusoid(), optax.adam(1e-3)
state = jaxmeta.init_state(jax.random.key(0), learner, tx, sample)
step = jaxmeta.make_step(learner, tx, sample, meta_batch_size=25, steps_per_call=500)


@jax.jit
def mean_cosines(weights):
    def of_task(key):
        gradients = analysis.meta_gradients(loss, weights, minibatches(key, 4), inner_lr=0.02)
        return analysis.similarities(gradients)

    return jax.vmap(of_task)(jax.random.split(jax.random.key(2), 10)).mean(0)


at, cosines = [], []
for _ in range(20):
    at.append(int(state.step))
    cosines.append(mean_cosines(state.params.net))
    state, _ = step(state, jax.random.key(1))

figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
plots.similarities(at, np.array(cosines), axes=axes, along="meta-step")
axes.set_title("Mean over ten tasks, k = 4, a = 0.02")
axes.grid(alpha=0.3)
axes.legend()
plt.show()

# %% [markdown]
# ## Curvature
#
# Lanczos sees the outermost eigenvalues of a Hessian through products with vectors alone. The loss
# of one task, before and after adaptation, and the meta-loss itself, at the trained weights.

# %%
episode = sample(jax.random.key(5))
params = state.params
adapted = learner.adapt(params, jax.random.key(0), episode.support)
support = (episode.support.x, episode.support.y)
spectra = {
    "task, before adaptation": analysis.hessian_spectrum(
        lambda w: loss(w, support), params.net, jax.random.key(0), order=30
    ),
    "task, after adaptation": analysis.hessian_spectrum(
        lambda w: loss(w, support), adapted, jax.random.key(0), order=30
    ),
    "meta-loss": analysis.hessian_spectrum(
        lambda p: learner.loss(p, jax.random.key(0), episode)[0],
        params,
        jax.random.key(0),
        order=30,
    ),
}
figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
plots.spectra(spectra, axes=axes)
axes.grid(alpha=0.3)
axes.legend()
plt.show()
for name, spectrum in spectra.items():
    print(f"{name:24} from {spectrum.eigenvalues.min():8.2f} to {spectrum.eigenvalues.max():8.2f}")

# %% [markdown]
# ## What a cheaper meta-gradient leaves out
#
# Full second order, the last two steps only, iMAML's linear system, and none: error against the
# exact derivative of the same regularised inner problem, and time.

# %%
query = (episode.query.x, episode.query.y)
costs = analysis.estimator_costs(
    lambda w: loss(w, support),
    lambda w: loss(w, query),
    params.net,
    inner_steps=(1, 3, 10, 30),
    inner_lrs=(0.02,),
    lam=1.0,
)
figure, panels = plt.subplots(1, 3, figsize=(16, 4), layout="constrained")
for panel, quantity in zip(panels, ("error", "seconds", "bytes"), strict=True):
    plots.estimators(costs, quantity, axes=panel)
    panel.grid(alpha=0.3)
    panel.legend(fontsize="small")
plt.show()

# %% [markdown]
# The implicit gradient is wrong while the solver is under way and right once it has converged; its
# time beyond the solver's, and its memory, do not depend on the number of steps.
#
# ## Is your meta-gradient right?
#
# `check_meta_gradient` compares `jax.grad` of any learner's loss with finite differences in float64.

# %%
for name, checked in (
    ("MAML", learner),
    (
        "FOMAML",
        jaxmeta.fomaml(
            net, rule=jaxmeta.rules.sgd(0.02), inner_steps=3, loss_fn=optax.squared_error
        ),
    ),
):
    result = analysis.check_meta_gradient(checked, params, jax.random.key(0), episode)
    print(f"{name:7} relative error {result.relative_error:.1e}, passes: {result.passes()}")
