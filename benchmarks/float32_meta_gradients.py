"""How far a learner's meta-gradient in float32 is from the one in float64.

    python benchmarks/float32_meta_gradients.py

takes minutes on two cores. Every row of `tests/test_all_learners.py`, small nets; parameters and
episodes are the same float32 numbers on both sides, so the difference is that of the arithmetic.
Per learner the error of the whole gradient, |g32 - g64|, over the root mean square of |g64|. Writes
`benchmarks/results/float32_meta_gradients.json`.
"""

import importlib.util
import json
import sys
from pathlib import Path

import jax
import numpy as np

HERE = Path(__file__).resolve().parent
N_EPISODES = 20


def rows():
    """The table of learners that the tests keep."""
    path = HERE.parent / "tests" / "test_all_learners.py"
    spec = importlib.util.spec_from_file_location("test_all_learners", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ROWS, module.sample


def in_double(tree):
    return jax.tree.map(
        lambda leaf: np.asarray(leaf, np.float64) if leaf.dtype == np.float32 else leaf, tree
    )


def errors(learner, sample):
    """Relative errors `[N_EPISODES]` of the meta-gradient."""

    def gradients(params, key, episodes):
        grad = jax.grad(learner.loss, has_aux=True)
        return jax.lax.map(lambda episode: grad(params, key, episode)[0], episodes)

    keys = jax.random.split(jax.random.key(1), N_EPISODES)
    episodes = jax.jit(jax.vmap(sample))(keys)
    params = jax.jit(learner.init)(jax.random.key(0), jax.tree.map(lambda leaf: leaf[0], episodes))
    # Its bits, since a key drawn under float64 must be the same one.
    single = jax.jit(gradients)(params, jax.random.key(2), episodes)
    with jax.enable_x64(True):
        double = jax.jit(gradients)(in_double(params), jax.random.key(2), in_double(episodes))
    one, other = (
        np.concatenate([np.asarray(leaf, np.float64).reshape(N_EPISODES, -1) for leaf in leaves], 1)
        for leaves in map(jax.tree.leaves, (single, double))
    )
    size = np.sqrt(np.mean(np.sum(np.square(other), axis=1)))  # One episode's alone can be zero.
    return np.linalg.norm(one - other, axis=1) / size


def main():
    table, sample = rows()
    found = {}
    for name, row in table.items():
        if name == "nearest_neighbour":  # It has no parameters.
            continue
        relative = errors(row.learner, sample)
        found[name] = {"median": float(np.median(relative)), "largest": float(relative.max())}
        print(f"{name:40} median {found[name]['median']:.1e}  largest {found[name]['largest']:.1e}")
        sys.stdout.flush()
    content = {
        "command": "python benchmarks/float32_meta_gradients.py",
        "n_episodes": N_EPISODES,
        "relative_error": found,
        "versions": {"jax": jax.__version__, "backend": jax.default_backend()},
    }
    path = HERE / "results" / "float32_meta_gradients.json"
    path.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
