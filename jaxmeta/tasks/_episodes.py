"""Few-shot classification episodes drawn from arrays of images, on the device."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.checks import at_least
from jaxmeta.datasets import ClassData
from jaxmeta.learner import Episode, Examples
from jaxmeta.tasks._augment import Augment, check_augment
from jaxmeta.tasks._imbalanced import K_SHOT, MAX_SUPPORT, composition
from jaxmeta.tasks._pool import draw_classes, draw_rows, inputs, pool, turn


def episodes(
    class_data: ClassData,
    *,
    n_way: int | tuple[int, int],
    k_shot: int | tuple[int, int] | None = None,
    q_queries: int,
    shots: Literal["balanced", "imbalanced"] = "balanced",
    max_support: int = MAX_SUPPORT,
    unlabelled: int = 0,
    rotations: bool = False,
    augment: Augment | None = None,
) -> Callable[[jax.Array], Episode]:
    """N-way K-shot episodes: classes without replacement, support and query disjoint.

    A class gets a random label slot in each episode. Rows stand class by class.

    Args:
      class_data: images with their classes, or features or ids of tokens.
      n_way: classes per episode; or the smallest and largest number of them, each as likely. All
        episodes have the shapes of the largest: rows too many hold zeros, and `is_valid` says so.
      k_shot: support rows per class; or the smallest and largest number, one for all classes. If
        `shots` are imbalanced, the most that one class adds to the size of the support set; None
        is then 100.
      q_queries: query rows per class; the most of them if `shots` are imbalanced.
      shots: `"imbalanced"` draws the support rows of each class by the law of Meta-Dataset
        (Triantafillou et al. 2020, appendix A.3), whose episodes are
        `episodes(data, n_way=(5, 50), q_queries=10, shots="imbalanced")`: a class has about as
        large a share of the support set as of the data, up to a factor of two either way. Query
        sets stay balanced, and take at most half of the smallest class. Support rows stand class
        by class without gaps, and padding behind them.
      max_support: the largest support set, if `shots` are imbalanced.
      unlabelled: further support rows per class, whose labels are zero; they stand behind the
        others, in random order. Labelled rows and queries are those of the same key without them,
        as they are before `augment`.
      rotations: images turned by 0, 90, 180 and 270 degrees are four classes; an episode turns all
        images of a class alike (Santoro et al. 2016).
      augment: `(key, x) -> x`, a random change of one image that keeps shape and dtype, such as
        `tasks.augment(...)`; every image gets a key of its own. None: as they are.

    Returns `sample(key) -> Episode`, pure and jittable: `x` is float32 in `[0, 1]` for images of
    uint8 and of `class_data`'s own dtype otherwise (see `datasets.ClassData`); `y` is one-hot
    float32 `[M, n_way]`; `is_valid` is None where both numbers are fixed.

    Raises:
      ValueError: a count is below 1, a range runs backwards, there are too few classes, a class has
        fewer than `k_shot + q_queries + unlabelled` images (2, if `shots` are imbalanced),
        `augment` changes shape or dtype, `rotations` meets images that are not square, or settings
        of the two kinds of shots are mixed.

    Example:
      >>> import jax, jaxmeta, numpy as np
      >>> pictures = np.zeros((4 * 6, 8, 8, 1), np.uint8)  # 4 classes of 6
      >>> data = jaxmeta.datasets.ClassData(pictures, (6,) * 4, tuple("abcd"))
      >>> sample = jaxmeta.tasks.episodes(data, n_way=3, k_shot=1, q_queries=2)
      >>> episode = sample(jax.random.key(0))
      >>> episode.support.x.shape, episode.query.y.shape
      ((3, 8, 8, 1), (6, 3))
    """
    return sampler(
        {"class_data": class_data},
        None,
        n_way,
        k_shot,
        q_queries,
        shots,
        max_support,
        unlabelled,
        rotations,
        augment,
    )


def mixture(
    sources: Mapping[str, ClassData],
    *,
    weights: Mapping[str, float] | Sequence[float] | None = None,
    n_way: int | tuple[int, int],
    k_shot: int | tuple[int, int] | None = None,
    q_queries: int,
    shots: Literal["balanced", "imbalanced"] = "balanced",
    max_support: int = MAX_SUPPORT,
    unlabelled: int = 0,
    rotations: bool = False,
    augment: Augment | None = None,
) -> Callable[[jax.Array], Episode]:
    """Episodes of many domains: each has classes of one source, drawn anew for each episode.

    Sources lie on the device together, so that an episode costs what one of a single source does,
    and there is one program for all.

    Args:
      sources: name of each domain and its classes; images of one shape and dtype.
      weights: how often a source is drawn, by name or in the order of the sources, of any positive
        sum; None: each as often.
      n_way, k_shot, q_queries, shots, max_support, unlabelled, rotations, augment: of `episodes`.

    Returns `sample(key) -> Episode`, as `episodes` does.

    Raises:
      ValueError: there is no source, images differ in shape or dtype, weights do not fit, or a
        source is none that `episodes` takes; names it.

    Example:
      >>> letters = ClassData(np.zeros((6, 8, 8, 1), np.uint8), np.array([3, 3]), ("a", "b"))
      >>> digits = ClassData(np.ones((6, 8, 8, 1), np.uint8), np.array([3, 3]), ("0", "1"))
      >>> sample = mixture(
      ...     {"letters": letters, "digits": digits},
      ...     weights={"letters": 3, "digits": 1},
      ...     n_way=2,
      ...     k_shot=1,
      ...     q_queries=2,
      ... )
      >>> sample(jax.random.key(0)).query.x.shape
      (4, 8, 8, 1)
    """
    if not sources:
        raise ValueError("sources must have at least one data set, got none.")
    return sampler(
        sources,
        weights,
        n_way,
        k_shot,
        q_queries,
        shots,
        max_support,
        unlabelled,
        rotations,
        augment,
    )


def sampler(
    sources, weights, n_way, k_shot, q_queries, shots, max_support, unlabelled, rotations, augment
) -> Callable[[jax.Array], Episode]:
    """What `episodes` and `mixture` give."""
    if shots not in ("balanced", "imbalanced"):
        raise ValueError(f"shots must be 'balanced' or 'imbalanced', got {shots!r}.")
    is_balanced = shots == "balanced"
    least_way, most_way = _range("n_way", n_way)
    _range("q_queries", q_queries)
    at_least(0, unlabelled=unlabelled)
    if is_balanced:
        if k_shot is None:
            raise ValueError("k_shot must be a number of support rows, got None.")
        least_shot, most_shot = _range("k_shot", k_shot)
        total = most_shot + q_queries + unlabelled
        names = "k_shot + q_queries" + (" + unlabelled" if unlabelled else "")
        least_images = f"{names} = {total}"
    else:
        k_shot = K_SHOT if k_shot is None else k_shot
        _check_imbalanced(k_shot, most_way, max_support, unlabelled)
        total, least_images = 2, "2"
    for name, source in sources.items():
        _check_source(name, source, most_way, total, least_images, 4 if rotations else 1)
    everything = pool(sources, weights, rotations)
    shape, dtype = everything.images.shape[1:], everything.images.dtype
    if augment is not None:
        check_augment(augment, shape, jnp.float32 if everything.are_images else dtype)
    labels = jnp.eye(most_way)
    varies = is_balanced and (least_way, least_shot) != (most_way, most_shot)

    def images(rows, quarters, key):
        """The images of rows `[M]`, turned and changed."""
        x = inputs(everything.images[rows], everything.are_images)
        if rotations:
            x = jax.vmap(turn)(x, quarters)
        return x if augment is None else jax.vmap(augment)(jax.random.split(key, len(x)), x)

    def balanced(keys, chosen, quarters):
        key_rows, key_size, key_extra, key_augment = keys
        rows = draw_rows(everything, key_rows, chosen, total)  # [N, total]
        x = images(rows.ravel(), jnp.repeat(quarters, total), key_augment)
        x = x.reshape(most_way, total, *shape)
        support_x, query_x, unlabelled_x = jnp.split(x, (most_shot, most_shot + q_queries), axis=1)
        support, query = _examples(support_x, labels), _examples(query_x, labels)
        extra = _examples(unlabelled_x, jnp.zeros_like(labels))
        if varies:
            key_way, key_shot = jax.random.split(key_size)
            way = jax.random.randint(key_way, (), least_way, most_way + 1)
            shot = jax.random.randint(key_shot, (), least_shot, most_shot + 1)
            is_drawn = jnp.arange(most_way)[:, None] < way  # [N, 1]
            support = _padded(support, is_drawn & (jnp.arange(most_shot) < shot))
            query = _padded(query, is_drawn & jnp.ones(q_queries, bool))
            extra = _padded(extra, is_drawn & jnp.ones(unlabelled, bool))
        if unlabelled:
            order = jax.random.permutation(key_extra, most_way * unlabelled)
            support = jax.tree.map(lambda a, b: jnp.concatenate([a, b[order]]), support, extra)
        return Episode(support, query)

    # No class gives more than its images less one query, and all together no more than the caps.
    cap = 0 if is_balanced else min(k_shot, everything.largest - 1)
    most_rows = min(max_support, most_way * cap)
    most_of_class = min(everything.largest, most_rows + q_queries)

    def imbalanced(keys, chosen, quarters):
        key_rows, key_size, _, key_augment = keys
        key_way, key_shots = jax.random.split(key_size)
        is_drawn = jnp.arange(most_way) < jax.random.randint(key_way, (), least_way, most_way + 1)
        q, k = composition(
            key_shots,
            everything.counts[chosen],
            is_drawn,
            q_queries=q_queries,
            k_shot=k_shot,
            max_support=max_support,
        )
        rows = draw_rows(everything, key_rows, chosen, most_of_class)
        # Queries are the first q rows of each class, and its k support rows come behind.
        ends = jnp.cumsum(k)
        place = jnp.arange(most_rows)
        slot = jnp.minimum(jnp.searchsorted(ends, place, side="right"), most_way - 1)
        column = q + place - (ends - k)[slot]
        is_support = place < ends[-1]
        support_rows = rows[slot, jnp.where(is_support, column, 0)]
        query_rows = rows[:, : min(q_queries, most_of_class)]
        query_rows = jnp.pad(query_rows, ((0, 0), (0, q_queries - query_rows.shape[1])))
        query_slot = jnp.repeat(jnp.arange(most_way), q_queries)
        slots = jnp.concatenate([slot, query_slot])
        x = images(
            jnp.concatenate([support_rows, query_rows.ravel()]), quarters[slots], key_augment
        )
        is_query = is_drawn[:, None] & (jnp.arange(q_queries) < q)
        return Episode(
            _padded(Examples(x[:most_rows], labels[slot]), is_support),
            _padded(Examples(x[most_rows:], labels[query_slot]), is_query),
        )

    def sample(key):
        key_classes, key_rows, key_size, key_extra, key_augment, key_source = jax.random.split(
            key, 6
        )
        key_source = key_source if len(sources) > 1 else None
        chosen, quarters = draw_classes(everything, key_classes, key_source, most_way)
        keys = (key_rows, key_size, key_extra, key_augment)
        return (balanced if is_balanced else imbalanced)(keys, chosen, quarters)

    return sample


def _check_imbalanced(k_shot, most_way, max_support, unlabelled):
    if isinstance(k_shot, tuple):
        raise ValueError(f"k_shot must be one number if shots are imbalanced, got {k_shot}.")
    _range("k_shot", k_shot)
    if max_support < most_way:
        raise ValueError(
            f"max_support must be at least n_way, a row for each class, got {max_support} for "
            f"{most_way}."
        )
    if unlabelled:
        raise ValueError(f"unlabelled must be 0 if shots are imbalanced, got {unlabelled}.")


def _check_source(name, source, most_way, total, least_images, turns):
    of = "" if name == "class_data" else f" of source {name!r}"
    if most_way > turns * source.n_classes:
        raise ValueError(
            f"n_way must be at most the {turns * source.n_classes} classes{of}, got {most_way}."
        )
    smallest = int(np.argmin(source.counts))
    if source.counts[smallest] < total:
        raise ValueError(
            f"every class{of} must have {least_images} images or more, but "
            f"{source.class_names[smallest]!r} has {source.counts[smallest]}."
        )


def _range(name, count):
    """Smallest and largest of a count given as one number or as both."""
    least, most = count if isinstance(count, tuple) else (count, count)
    at_least(1, **{name: least})
    if least > most:
        raise ValueError(f"{name} must go from the smaller to the larger, got {count}.")
    return least, most


def _examples(x, labels):
    n_way, shots = x.shape[:2]
    return Examples(x.reshape(n_way * shots, *x.shape[2:]), jnp.repeat(labels, shots, axis=0))


def _padded(examples, is_valid):
    """Zeros where not `is_valid` `[N, shots]`."""
    is_valid = is_valid.ravel()

    def keep(leaf):
        return jnp.where(is_valid.reshape(-1, *[1] * (leaf.ndim - 1)), leaf, 0)

    return Examples(keep(examples.x), keep(examples.y), is_valid)
