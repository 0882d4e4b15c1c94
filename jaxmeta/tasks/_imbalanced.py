"""How large an imbalanced episode is: the law of Meta-Dataset.

Triantafillou et al., "Meta-Dataset: A Dataset of Datasets for Learning to Learn from Few Examples",
ICLR 2020, https://arxiv.org/abs/1903.03096, appendix A.3, as their released code draws it
(google-research/meta-dataset, `sampling.py`). Classes are drawn without regard to a hierarchy.
"""

import jax
import jax.numpy as jnp

K_SHOT, MAX_SUPPORT = 100, 500  # the paper's caps
LEAST_WEIGHT, MOST_WEIGHT = 0.5, 2.0  # of a class, beside its size


def composition(
    key: jax.Array,
    sizes: jax.Array,
    is_drawn: jax.Array,
    *,
    q_queries: int,
    k_shot: int,
    max_support: int,
) -> tuple[jax.Array, jax.Array]:
    """Draws the query rows of each class, one number for all, and the support rows of each.

    With |c| the images of class c of the N drawn:

        q   = min(q_queries, min_c floor(|c| / 2))
        |S| = min(max_support, sum_c ceil(b min(k_shot, |c| - q))),          b ~ U(0, 1]
        R_c = |c| exp(a_c) / sum_c' |c'| exp(a_c'),                          a_c ~ U[log 1/2, log 2)
        k_c = min(floor(R_c (|S| - N)) + 1, |c| - q)

    Args:
      sizes: images of each class, `[N]` int.
      is_drawn: `[N]` bool; at least one.

    Returns q and k_c `[N]`, which is zero where a class is not drawn.
    """
    key_size, key_weights = jax.random.split(key)
    query = jnp.minimum(q_queries, jnp.where(is_drawn, sizes // 2, q_queries).min())
    left = sizes - query
    # The floor and one are the ceiling of b in (0, 1], as the generator's numbers are in [0, 1).
    share = jnp.floor(jax.random.uniform(key_size) * jnp.minimum(k_shot, left)) + 1
    support = jnp.minimum(max_support, jnp.where(is_drawn, share, 0).sum())
    log_range = jnp.log(LEAST_WEIGHT), jnp.log(MOST_WEIGHT)
    a = jax.random.uniform(key_weights, sizes.shape, minval=log_range[0], maxval=log_range[1])
    weights = jnp.where(is_drawn, sizes * jnp.exp(a), 0)
    wanted = jnp.floor(weights / weights.sum() * (support - is_drawn.sum())).astype(jnp.int32) + 1
    return query, jnp.where(is_drawn, jnp.minimum(wanted, left), 0)
