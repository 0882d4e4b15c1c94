"""Every loss and metric against float64, in every float type; what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import log_softmax

import jaxmeta
from jaxmeta import losses
from jaxmeta.learner import Examples
from jaxmeta.learners import memory
from jaxmeta.learners.metric import nearest_neighbour

HALVES = ["bfloat16", "float16"]
ROWS = 3000


def labelled(dtype, n_columns, seed=0):
    """Logits, one-hot labels that agree with most of them, and both in float64."""
    rng = np.random.default_rng(seed)
    logits = jnp.asarray(rng.normal(size=(ROWS, n_columns)), dtype)
    classes = np.where(
        rng.random(ROWS) < 0.82, np.argmax(logits, 1), rng.integers(0, n_columns, ROWS)
    )
    y = np.eye(n_columns)[classes]
    return logits, Examples(jnp.zeros((ROWS, 1)), jnp.asarray(y, dtype)), np.float64(logits), y


@pytest.mark.parametrize("dtype", HALVES)
def test_metrics_and_losses_of_three_thousand_rows_in_16_bits(dtype):
    logits, examples, exact, y = labelled(dtype, 5)
    log_p = log_softmax(exact, axis=1)
    loss = losses.mean_loss(optax.softmax_cross_entropy, logits, examples)
    assert loss.dtype == jnp.float32
    np.testing.assert_allclose(loss, -np.mean(np.sum(y * log_p, 1)), rtol=1e-5)
    right = exact.argmax(1) == y.argmax(1)
    np.testing.assert_allclose(losses.accuracy(logits, examples), right.mean(), rtol=1e-6)
    np.testing.assert_allclose(
        losses.squared_error(logits, examples), np.mean((exact - y) ** 2), rtol=1e-5
    )
    # The bin of a confidence next to an edge may differ: one row in 3,000.
    confidence = np.exp(log_p).max(1)
    bins = np.minimum((confidence * 15).astype(int), 14)
    gaps = [np.abs(np.sum((confidence - right)[bins == b])) for b in range(15)]
    error = losses.calibration_error(logits, examples)
    np.testing.assert_allclose(error, np.sum(gaps) / ROWS, atol=1e-3)
    values = jnp.full(ROWS, 1.5, dtype)
    assert losses.masked_mean(values, jnp.arange(ROWS) >= 500) == 1.5


@pytest.mark.parametrize("dtype", HALVES)
def test_strings_of_letters_in_16_bits(dtype):
    logits, _, exact, _ = labelled(dtype, 10)
    letters = np.random.default_rng(1).integers(0, 5, (ROWS, 2))
    letters[: ROWS // 2] = exact.reshape(ROWS, 2, 5).argmax(2)[: ROWS // 2]
    y = np.eye(5)[letters].reshape(ROWS, 10)
    examples = Examples(logits, jnp.asarray(y, dtype))
    log_p = log_softmax(exact.reshape(ROWS, 2, 5), axis=2).reshape(ROWS, 10)
    loss = losses.mean_loss(losses.letters_cross_entropy, logits, examples)
    np.testing.assert_allclose(loss, -np.mean(np.sum(log_p * y, 1)), rtol=1e-5)
    right = (exact.reshape(ROWS, 2, 5).argmax(2) == letters).all(1)
    np.testing.assert_array_equal(losses.letters_are_right(logits, examples.y), right)


def test_a_squared_error_beyond_the_largest_float16():
    examples = Examples(jnp.zeros((2, 1)), jnp.zeros((2, 1), jnp.float16))
    outputs = jnp.full((2, 1), 300, jnp.float16)  # 300 squared is above 65504.
    assert losses.squared_error(outputs, examples) == 90_000
    gradient = jax.grad(lambda outputs: losses.squared_error(outputs, examples))(outputs)
    assert gradient.dtype == jnp.float16
    np.testing.assert_array_equal(gradient, [[300], [300]])


@pytest.mark.parametrize("dtype", [*HALVES, "float32"])
def test_absent_classes_have_probability_and_derivative_zero(dtype):
    logits = jnp.array([[3.0, -2.0, 1.0]], dtype)
    y = jnp.array([[1.0, 0.0, 0.0]], dtype)
    present = jnp.array([True, False, True])

    def loss(logits):
        among = losses.among(logits, present)
        assert among.dtype == logits.dtype
        return losses.mean_loss(optax.softmax_cross_entropy, among, Examples(y, y))

    value, gradient = jax.value_and_grad(loss)(logits)
    p = 1 / (1 + np.exp(-2))  # of class 0 beside class 2
    np.testing.assert_allclose(value, -np.log(p), rtol=1e-6)
    np.testing.assert_allclose(np.float32(gradient), [[p - 1, 0, 1 - p]], rtol=1e-2)
    assert jnp.isfinite(losses.among(logits, present)).all()


BINARY = Examples(jnp.zeros((4, 1)), jnp.array([[0.0], [0.0], [1.0], [1.0]]))
LOGITS = jnp.array([[-2.0], [3.0], [1.0], [0.5]])


def test_one_column_holds_one_logit_and_zero_is_a_label():
    assert losses.accuracy(LOGITS, BINARY) == 0.75
    np.testing.assert_array_equal(losses.is_right(LOGITS, BINARY.y), [True, False, True, True])
    np.testing.assert_array_equal(losses.presentations(BINARY), [1, 2, 1, 2])
    p = 1 / (1 + np.exp(-np.array([-2.0, 3.0, 1.0, 0.5])))
    cross_entropy = -np.log([1 - p[0], 1 - p[1], p[2], p[3]])
    for loss_fn in (
        optax.sigmoid_binary_cross_entropy,
        lambda outputs, y: optax.sigmoid_binary_cross_entropy(outputs, y)[:, 0],
    ):
        loss = losses.mean_loss(loss_fn, LOGITS, BINARY)
        np.testing.assert_allclose(loss, cross_entropy.mean(), rtol=1e-6)
    # Confidences 0.88, 0.95, 0.73, 0.62, each in a bin of its own; the second row is wrong.
    gaps = [1 - 0.8807971, 0.9525741, 1 - 0.7310586, 1 - 0.6224593]
    error = losses.calibration_error(LOGITS, BINARY)
    np.testing.assert_allclose(error, np.sum(gaps) / 4, rtol=1e-5)


def test_padding_of_one_column_still_does_not_count():
    padded = BINARY._replace(is_valid=jnp.array([True, False, True, True]))
    assert losses.accuracy(LOGITS, padded) == 1.0
    np.testing.assert_array_equal(losses.presentations(padded), [1, 0, 1, 2])


@pytest.mark.parametrize("n_columns", [1, 2])
def test_targets_that_are_all_zero_have_a_loss_and_a_gradient(n_columns):
    examples = Examples(jnp.zeros((3, 1)), jnp.zeros((3, n_columns)), jnp.array([1, 1, 0], bool))
    outputs = jnp.array([[1.0], [2.0], [9.0]]) * jnp.ones(n_columns)

    def loss(outputs):
        return losses.mean_loss(
            lambda outputs, y: jnp.sum((outputs - y) ** 2, axis=1), outputs, examples
        )

    value, gradient = jax.value_and_grad(loss)(outputs)
    assert value == 2.5 * n_columns
    np.testing.assert_array_equal(gradient, [[1] * n_columns, [2] * n_columns, [0] * n_columns])


def test_a_set_without_labels_has_cross_entropy_zero():
    examples = Examples(jnp.zeros((3, 1)), jnp.zeros((3, 2)))
    loss = losses.mean_loss(optax.softmax_cross_entropy, jnp.ones((3, 2)), examples)
    assert loss == 0


def test_accuracy_of_targets_is_no_number():
    targets = Examples(jnp.zeros((2, 1)), jnp.array([[0.5], [-3.0]]))
    assert jnp.isnan(losses.accuracy(jnp.ones((2, 1)), targets))
    assert jnp.isnan(losses.calibration_error(jnp.ones((2, 1)), targets))
    padded = targets._replace(is_valid=jnp.array([True, False]))
    assert not jnp.isnan(losses.accuracy(jnp.ones((2, 1)), padded))


METRICS = {
    "accuracy": losses.accuracy,
    "squared_error": losses.squared_error,
    "calibration_error": losses.calibration_error,
    "is_right": lambda outputs, examples: losses.is_right(outputs, examples.y),
    "mean_loss": lambda outputs, examples: losses.mean_loss(optax.squared_error, outputs, examples),
}


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("shape", [(4,), (4, 2), (1, 1), (3, 1)])
def test_outputs_of_another_shape_are_refused(name, shape):
    message = rf"outputs must have the shape of y, got outputs \({', '.join(map(str, shape))},?\) "
    with pytest.raises(ValueError, match=message + r"and y \(4, 1\)"):
        METRICS[name](jnp.zeros(shape), BINARY)


LEARNERS = {
    "maml": lambda net, loss_fn: jaxmeta.maml(net, inner_steps=1, loss_fn=loss_fn),
    "anil": lambda net, loss_fn: jaxmeta.anil(net, inner_steps=1, loss_fn=loss_fn),
    "reptile": lambda net, loss_fn: jaxmeta.reptile(net, inner_steps=1, loss_fn=loss_fn),
    "imaml": lambda net, loss_fn: jaxmeta.imaml(net, inner_steps=1, loss_fn=loss_fn),
    "cavia": lambda net, loss_fn: jaxmeta.cavia(net, inner_steps=1, loss_fn=loss_fn),
    "maml_plus_plus": lambda net, loss_fn: jaxmeta.maml_plus_plus(
        net, inner_steps=1, annealing_steps=0, loss_fn=loss_fn
    ),
}


class Squeezed:
    """A net that drops the axis of its one output."""

    def __init__(self, net):
        self.init = net.init
        self.apply = lambda params, *args: net.apply(params, *args)[:, 0]


@pytest.mark.parametrize("name", LEARNERS)
def test_learners_refuse_outputs_that_would_broadcast(name):
    net = jaxmeta.networks.mlp(1)
    learner = LEARNERS[name](Squeezed(net), optax.squared_error)
    episode = jaxmeta.Episode(BINARY, BINARY)
    params = learner.init(jax.random.key(0), episode)
    with pytest.raises(ValueError, match=r"outputs \(4,\) and y \(4, 1\)"):
        learner.loss(params, jax.random.key(1), episode)


@pytest.mark.parametrize("learner", ["prototypical", "siamese", "matching", "relation", "ridge"])
def test_metric_learners_refuse_queries_of_another_number_of_classes(learner):
    net = jaxmeta.networks.mlp(4)
    if learner == "relation":
        net = jaxmeta.networks.relation_embedding()
    learner = getattr(jaxmeta, learner)(net)
    support = Examples(jnp.ones((3, 28, 28, 1)), jnp.eye(3))
    query = Examples(jnp.ones((3, 28, 28, 1)), jnp.ones((3, 1)))
    params = learner.init(jax.random.key(0), jaxmeta.Episode(support, support))
    with pytest.raises(ValueError, match=r"outputs \(3, 3\) and y \(3, 1\)"):
        learner.loss(params, jax.random.key(1), jaxmeta.Episode(support, query))
    with pytest.raises(ValueError, match=r"a column for each class, 2 or more.*\(3, 1\)"):
        jax.eval_shape(learner.loss, params, jax.random.key(1), jaxmeta.Episode(query, query))


def focal(outputs, y):
    """A user's own loss over a softmax."""
    log_p = jax.nn.log_softmax(outputs)
    return -jnp.sum((1 - jnp.exp(log_p)) ** 2 * log_p * y, axis=1)


@pytest.mark.parametrize("loss_fn", [optax.softmax_cross_entropy, focal])
def test_a_softmax_over_one_column_is_refused_under_any_transformation(loss_fn):
    def loss(outputs):
        return losses.mean_loss(loss_fn, outputs, BINARY)

    def scanned(outputs):
        return jax.lax.scan(lambda total, _: (total + loss(outputs), None), 0.0, length=2)[0]

    batch = jax.vmap(loss)
    for run, outputs in (
        (loss, LOGITS),
        (jax.jit(jax.grad(loss)), LOGITS),
        (jax.jit(jax.grad(scanned)), LOGITS),
        (batch, LOGITS[None]),
    ):
        with pytest.raises(ValueError, match=r"take optax\.sigmoid_binary_cross_entropy"):
            run(outputs)


@pytest.mark.parametrize(
    "loss_fn",
    [
        optax.sigmoid_binary_cross_entropy,
        optax.squared_error,
        lambda outputs, y: jnp.sum(jnp.abs(outputs - y), axis=1),
        lambda outputs, y: jnp.maximum(0, 1 - (2 * y - 1) * outputs)[:, 0],  # hinge
    ],
)
def test_losses_of_one_column_that_depend_on_it_are_taken(loss_fn):
    compiled = jax.jit(lambda outputs: losses.mean_loss(loss_fn, outputs, BINARY))
    assert jnp.isfinite(compiled(LOGITS))


def test_a_loss_that_closes_over_traced_values_is_taken():
    @jax.jit
    def loss(outputs, scale):
        return losses.mean_loss(
            lambda outputs, y: scale * jnp.abs(outputs - y)[:, 0], outputs, BINARY
        )

    np.testing.assert_allclose(loss(LOGITS, 2.0), 2 * (2 + 3 + 0 + 0.5) / 4)


@pytest.mark.parametrize("learner", [nearest_neighbour(), memory.nearest_seen()])
def test_floors_refuse_what_they_cannot_classify(learner):
    support = Examples(jnp.ones((3, 2)), jnp.eye(3))
    query = Examples(jnp.ones((3, 2)), jnp.ones((3, 1)))
    with pytest.raises(ValueError, match=r"outputs \(3, 3\) and y \(3, 1\)"):
        learner.loss({}, jax.random.key(1), jaxmeta.Episode(support, query))


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("derivative", ["reverse", "forward_over_reverse", "first_order"])
def test_inner_loops_of_16_bit_weights_take_the_wider_loss(dtype, derivative):
    net = jaxmeta.networks.mlp(2, hidden=(3,))
    learner = jaxmeta.maml(net, inner_steps=1, derivative=derivative)
    part = Examples(jnp.ones((2, 1), dtype), jnp.eye(2, dtype=dtype))
    episode = jaxmeta.Episode(part, part)

    def value_and_grad(key):
        params = learner.init(key, episode)
        params = jax.tree.map(lambda leaf: leaf.astype(dtype), params)
        return jax.value_and_grad(lambda params: learner.loss(params, key, episode)[0])(params)

    loss, grads = jax.eval_shape(value_and_grad, jax.random.key(0))
    assert loss.dtype == jnp.float32
    assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(grads))


def test_targets_of_a_loss_per_row_count_whatever_they_are():
    # |y|^2 of the outputs 1: 2, 0, 2 and 2 by hand; two rows of targets are zero, none is a label.
    y = jnp.array([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0], [2.0, 0.0]])
    examples = Examples(jnp.zeros((4, 1)), y)
    loss = losses.mean_loss(lambda o, y: jnp.sum((o - y) ** 2, -1), jnp.ones((4, 2)), examples)
    np.testing.assert_allclose(loss, 1.5)


def test_letters_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"got outputs \(4, 25\) and y \(4, 1\)"):
        losses.letters_cross_entropy(jnp.zeros((4, 25)), jnp.zeros((4, 1)))
