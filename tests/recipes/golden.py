"""What every recipe builds: its parameter tree and its first loss, to hold the code to them.

    python tests/recipes/golden.py --write             writes golden.json, which the tests compare
    python tests/recipes/golden.py --bits FILE         writes every bit, to compare two checkouts on
                                                       one machine with `cmp` or `diff`

Both take names of recipes at the end; by default they do all. Images are noise from a fixed seed,
so no data set has to be there.
"""

import argparse
import hashlib
import json
from pathlib import Path

import jax
import numpy as np

from jaxmeta import datasets, experiments, recipes

GOLDEN = Path(__file__).with_name("golden.json")


def stand_in(patch):
    """Puts noise in the place of every image data set: 60 classes of 20 images.

    Args:
      patch: `(owner, name, value)`, such as `setattr`.
    """
    images = np.random.default_rng(0).integers(0, 256, (60 * 20, 28, 28, 1), np.uint8)
    classes = {f"class{i:02d}": images[20 * i : 20 * i + 20] for i in range(60)}
    names = sorted(classes)
    parts = names[:20], names[20:40], names[40:]
    splits = datasets.split_classes(classes, parts)
    coloured = {name: images.repeat(3, axis=3) for name, images in classes.items()}
    patch(datasets, "glyphs", lambda: splits)
    patch(datasets, "omniglot", lambda data_dir, split: splits)
    for name in ("cifar_fs", "fc100"):
        patch(datasets, name, lambda data_dir: datasets.split_classes(coloured, parts))


def first(experiment):
    """The function from a key to fresh parameters and the loss of the first task."""
    learner = experiment.learner

    def start(key):
        key_init, key_task, key_learner = jax.random.split(key, 3)
        task = experiment.meta_train(key_task)
        params = learner.init(key_init, task)
        if hasattr(learner, "collect"):  # An agent: minus the return of its first trial.
            return params, -learner.collect(params, key_learner, task).mean_return
        return params, learner.loss(params, key_learner, task)[0]

    return start


def tree_of(params):
    """Path, shape and type of every array, a line each."""
    return [
        f"{jax.tree_util.keystr(path)} {list(leaf.shape)} {leaf.dtype}"
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    ]


def summary(params, loss, acts):
    """What is committed: the tree by its digest, and the loss.

    No loss of an agent: one action that rounding turns over changes its return.
    """
    lines = tree_of(params)
    return {
        "arrays": len(lines),
        "numbers": sum(int(leaf.size) for leaf in jax.tree.leaves(params)),
        "tree": hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16],
        "loss": None if acts else float(loss),
    }


def bits(params, loss, acts):
    """All of it: the tree, a digest of its numbers, the loss to its last bit."""
    del acts
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(params):
        digest.update(np.asarray(leaf).tobytes())
    return {
        "tree": tree_of(params),
        "params": digest.hexdigest(),
        "loss": float(loss).hex(),
    }


def measure(name):
    """Fresh parameters and first loss of a recipe, and whether it is an agent's."""
    experiment = experiments.build(recipes.find(name))
    params, loss = jax.tree.map(np.asarray, jax.jit(first(experiment))(jax.random.key(0)))
    return params, loss, hasattr(experiment.learner, "collect")


def main():
    """Writes one of the two files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write golden.json")
    parser.add_argument("--bits", type=Path, help="write every bit to this file")
    parser.add_argument("names", nargs="*", help="recipes; all where none is named")
    arguments = parser.parse_args()
    stand_in(setattr)
    path = GOLDEN if arguments.write else arguments.bits
    if path is None:
        parser.error("give --write or --bits FILE.")
    content = json.loads(path.read_text()) if arguments.names and path.exists() else {}
    for name in arguments.names or recipes.ALL:
        try:
            content[name] = (summary if arguments.write else bits)(*measure(name))
        except ImportError as error:  # Physics that are not installed.
            print(f"{name} is left out: {error}", flush=True)
            continue
        jax.clear_caches()
        print(name, content[name]["loss"], flush=True)
        lines = [f"  {json.dumps(key)}: {json.dumps(content[key])}" for key in sorted(content)]
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
