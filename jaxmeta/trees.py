"""Trees of arrays by name, as files of arrays hold them."""

from collections.abc import Mapping
from typing import Any

import jax


def named(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by the path to each, such as `net/params/head/kernel`.

    Raises:
      ValueError: two leaves would have one name.

    Example:
      >>> named({"head": {"bias": 1, "kernel": 2}})
      {'head/bias': 1, 'head/kernel': 2}
    """
    return dict(zip(_names(tree), jax.tree.leaves(tree), strict=True))


def unnamed(arrays: Mapping[str, Any], like: Any) -> Any:
    """The tree of leaves by name, of the structure of another.

    Example:
      >>> unnamed({"head/kernel": 4, "head/bias": 3}, {"head": {"bias": 1, "kernel": 2}})
      {'head': {'bias': 3, 'kernel': 4}}
    """
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in _names(like)])


def _names(tree):
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path in paths]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two arrays would have the name {twice!r}; rename one of them.")
    return names
