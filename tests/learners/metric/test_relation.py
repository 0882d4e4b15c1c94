import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta
from jaxmeta.networks import relation_embedding, relation_head
from jaxmeta.networks.convolution import conv


@pytest.mark.parametrize(
    "size, channels, padding, side, features",
    [(28, 1, "SAME", 5, 64), (84, 3, "VALID", 19, 576)],
)
def test_the_published_map_sizes(size, channels, padding, side, features):
    images = jax.ShapeDtypeStruct((2, size, size, channels), jnp.float32)
    embed, compare = relation_embedding(), relation_head(padding=padding)
    key = jax.random.key(0)
    maps, _ = jax.eval_shape(embed.init_with_output, key, images)
    assert maps.shape == (2, side, side, 64)
    scores, params = jax.eval_shape(compare.init_with_output, key, maps, maps)
    assert scores.shape == (2, 2)
    assert params["params"]["kernel_0"].shape == (3, 3, 128, 64)
    assert params["params"]["hidden"]["kernel"].shape == (features, 8)


def test_a_pair_is_the_class_s_map_on_top_of_the_query_s(x64):
    # The first convolution, taken apart, is that of the stacked maps.
    rng = np.random.default_rng(0)
    classes, queries = rng.normal(size=(2, 5, 5, 3)), rng.normal(size=(3, 5, 5, 3))
    kernel = rng.normal(size=(3, 3, 6, 4))
    apart = conv(queries, kernel[:, :, 3:])[:, None] + conv(classes, kernel[:, :, :3])
    for m in range(3):
        for n in range(2):
            stacked = np.concatenate([classes[n], queries[m]], -1)[None]
            np.testing.assert_allclose(apart[m, n], conv(stacked, kernel)[0], rtol=1e-10)


def test_scores_and_loss_by_hand(x64):
    # Vectors: r = sigmoid(relu([query, sum of the class] . W) . v), squared error against one-hot.
    class Doubled:
        def init(self, key, x):
            return {}

        def apply(self, params, x):
            return 2 * x

    learner = jaxmeta.relation(Doubled(), relation_head(hidden=2))
    support, query = np.array([[0.1], [0.2], [0.7]]), np.array([[0.3], [0.5]])
    episode = jaxmeta.make_episode(support, [0, 0, 1], query, [0, 1])
    params = learner.init(jax.random.key(0), episode)
    hidden = {"kernel": jnp.array([[1.0, -1.0], [0.5, 2.0]]), "bias": jnp.array([0.1, 0.0])}
    score = {"kernel": jnp.array([[1.0], [-1.0]]), "bias": jnp.array([0.3])}
    compare = {"params": {"hidden": hidden, "score": score}}
    assert jax.tree.structure(params.compare) == jax.tree.structure(compare)
    loss, outputs = learner.loss(params._replace(compare=compare), jax.random.key(0), episode)
    expected = np.zeros((2, 2))
    for m, q in enumerate(2 * query[:, 0]):
        for n, s in enumerate((2 * 0.3, 2 * 0.7)):  # Two shots are added.
            units = np.maximum([q + 0.5 * s + 0.1, -q + 2 * s], 0)
            expected[m, n] = 1 / (1 + np.exp(-(units[0] - units[1] + 0.3)))
    np.testing.assert_allclose(jax.nn.sigmoid(outputs), expected, rtol=1e-12)
    np.testing.assert_allclose(loss, ((expected - np.eye(2)) ** 2).mean(), rtol=1e-12)


def test_maps_too_small_for_the_pooling():
    maps = jnp.zeros((2, 3, 3, 4))
    with pytest.raises(ValueError, match=r"at least 4 wide and high .* got shape \(3, 3, 4\)"):
        relation_head().init(jax.random.key(0), maps, maps)


@pytest.mark.parametrize(
    "make",
    [
        lambda: relation_embedding(width=0),
        lambda: relation_head(hidden=0),
        lambda: relation_head(padding="FULL"),
    ],
)
def test_bad_values(make):
    with pytest.raises(ValueError, match="must be"):
        make()
