"""The axis legend of `jaxmeta/learner.py` as types, held at the public doors.

jaxtyping binds each axis name once in a call, beartype compares: `N` of the outputs is that of the
labels, `Q` that of the queries. Everything is traced and nothing compiled; the library itself does
without both packages.
"""

import jax
import jax.numpy as jnp
import pytest
from test_all_learners import ROWS, sample

import jaxmeta
from jaxmeta import losses, padding, support, tasks

jaxtyping = pytest.importorskip("jaxtyping")
beartype = pytest.importorskip("beartype").beartype
Array, Bool, Float, Int, jaxtyped = (
    getattr(jaxtyping, name) for name in ("Array", "Bool", "Float", "Int", "jaxtyped")
)
KEY = jax.random.key(0)
OF_CLASSES = [  # sources of episodes with one-hot labels, then of regression
    tasks.episodes(jaxmeta.datasets.glyphs().meta_train, n_way=3, k_shot=2, q_queries=4),
    tasks.episodes(jaxmeta.datasets.glyphs().meta_train, n_way=(2, 3), k_shot=(1, 2), q_queries=4),
    tasks.sinusoid(k_shot=5, q_queries=7),
    tasks.quadratic(),
    tasks.gaussian_process(),
]


@jaxtyped(typechecker=beartype)
def meet(
    support_x: Float[Array, "S *X"],
    support_y: Float[Array, "S N"],
    support_is_valid: Bool[Array, " S"] | None,
    query_x: Float[Array, "Q *X"],
    query_y: Float[Array, "Q N"],
    query_is_valid: Bool[Array, " Q"] | None,
    outputs: Float[Array, "Q N"],
    adapted_outputs: Float[Array, "Q N"],
    one_output: Float[Array, "1 N"],
    loss: Float[Array, ""],
):
    """One episode and what a learner makes of it."""


def check(learner, episode):
    """Raises where an axis of the contract is not what its name says."""

    def whole():
        params = learner.init(KEY, episode)
        loss, outputs = learner.loss(params, KEY, episode)
        adapted = learner.adapt(params, KEY, episode.support)
        both = (learner.predict(params, adapted, x) for x in (episode.query.x, episode.query.x[:1]))
        meet(*episode.support, *episode.query, outputs, *both, loss)

    jax.eval_shape(whole)


def episode():
    """As many rows in no two axes."""
    whole = sample(KEY)
    return whole._replace(query=jax.tree.map(lambda leaf: leaf[:4], whole.query))


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_axes_of_a_learner(row):
    check(row.learner, episode())


@pytest.mark.parametrize("part, shown", [("loss", "loss"), ("predict", "adapted_outputs")])
def test_a_learner_with_its_axes_exchanged_is_found(part, shown):
    learner = ROWS["prototypical"].learner

    def turned(*arguments):
        result = getattr(learner, part)(*arguments)
        return result.T if part == "predict" else (result[1].sum(0), result[1])

    with pytest.raises(jaxtyping.TypeCheckError, match=f"typechecking parameter '{shown}'"):
        check(learner._replace(**{part: turned}), episode())


@pytest.mark.parametrize("source", OF_CLASSES)
def test_axes_of_an_episode(source):
    @jaxtyped(typechecker=beartype)
    def axes(
        support_x: Float[Array, "S *X"],
        support_y: Float[Array, "S N"],
        support_is_valid: Bool[Array, " S"] | None,
        query_x: Float[Array, "Q *X"],
        query_y: Float[Array, "Q N"],
        query_is_valid: Bool[Array, " Q"] | None,
    ):
        """One draw from a task."""

    def draw():
        episode = source(KEY)
        axes(*episode.support, *episode.query)

    jax.eval_shape(draw)


M, N = 6, 3
EXAMPLES = jaxmeta.Examples(jnp.ones((M, 2)), jnp.tile(jnp.eye(N), (2, 1)), jnp.arange(M) < 5)


@jaxtyped(typechecker=beartype)
def scores(
    outputs: Float[Array, "M N"],
    accuracy: Float[Array, ""],
    squared_error: Float[Array, ""],
    calibration_error: Float[Array, ""],
    mean_loss: Float[Array, ""],
    is_right: Bool[Array, " M"],
    presentations: Int[Array, " M"],
    among: Float[Array, "M N"],
):
    """What is said of the outputs on a set."""


@jaxtyped(typechecker=beartype)
def views(
    x: Float[Array, "S D"],
    y: Float[Array, "S N"],
    is_valid: Bool[Array, " S"],
    is_labelled: Bool[Array, " S"],
    is_present: Bool[Array, " N"],
    means: Float[Array, "N D"],
):
    """The fields of a support set's view."""


def test_axes_of_losses_and_views():
    def whole():
        outputs = jnp.ones((M, N))
        scores(
            outputs,
            *(f(outputs, EXAMPLES) for f in (losses.accuracy, losses.squared_error)),
            losses.calibration_error(outputs, EXAMPLES),
            losses.mean_loss(lambda outputs, y: (outputs * y).sum(1), outputs, EXAMPLES),
            losses.is_right(outputs, EXAMPLES.y),
            losses.presentations(EXAMPLES),
            losses.among(outputs, jnp.ones(N, bool)),
        )
        for view in (support.as_support, support.class_support):
            seen = view(EXAMPLES)
            views(*seen, padding.weighted_means(seen.x, seen.y))

    jax.eval_shape(whole)
