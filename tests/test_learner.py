import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta
from jaxmeta import losses
from jaxmeta.learner import Examples


def test_make_episode_turns_labels_into_one_hot_rows():
    episode = jaxmeta.make_episode(np.zeros((3, 2)), [0, 2, 1], np.ones((1, 2)), [1])
    np.testing.assert_array_equal(episode.support.y, [[1, 0, 0], [0, 0, 1], [0, 1, 0]])
    np.testing.assert_array_equal(episode.query.y, [[0, 1, 0]])


def test_make_episode_keeps_targets():
    episode = jaxmeta.make_episode(np.zeros((2, 1)), np.full((2, 3), 0.5), [[1.0]], [[1, 2, 3]])
    assert episode.support.y.shape == (2, 3)
    np.testing.assert_array_equal(episode.query.y, [[1, 2, 3]])


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"support_y": [0, 5]}, ValueError, r"support.y must hold labels in 0..1, but row 1 has 5"),
        ({"query_y": [-1]}, ValueError, r"query.y must hold labels in 0..1, but row 0 has -1"),
        ({"support_y": [0]}, ValueError, r"support.x and support.y must have as many rows"),
        ({"support_y": [0.0, 1.0]}, TypeError, r"support.y of rank 1 must hold integer labels"),
        ({"support_y": [0, 0]}, ValueError, r"row 0 of query.y is of class 1, of which support.y "),
        (
            {"support_y": [[0, 1], [0, 0]], "query_y": [[1, 0]]},  # the second row is unlabelled
            ValueError,
            r"row 0 of query.y is of class 0",
        ),
        ({"support_x": [[0.0], [np.nan]]}, ValueError, r"support.x must be finite, but row 1"),
        ({"query_x": [[0.0, 1.0]]}, ValueError, r"inputs of one shape, got \(1,\) and \(2,\)"),
        ({"query_x": np.zeros((0, 1)), "query_y": []}, ValueError, r"query must have at least 1"),
    ],
)
def test_make_episode_refuses(change, error, message):
    good = {"support_x": [[0.0], [1.0]], "support_y": [0, 1], "query_x": [[0.5]], "query_y": [1]}
    with pytest.raises(error, match=message):
        jaxmeta.make_episode(**{**good, **change}, n_way=2)


@pytest.mark.parametrize("n_way, message", [(None, "every label of support.y is 0"), (1, "got 1")])
def test_an_episode_of_one_class_is_refused(n_way, message):
    with pytest.raises(ValueError, match=message):
        jaxmeta.make_episode([[0.0], [1.0]], [0, 0], [[0.5]], [0], n_way=n_way)


def test_make_episode_keeps_soft_labels_and_targets_whatever_classes_they_look_like():
    soft = jaxmeta.make_episode([[0.0]], [[0.9, 0.1]], [[1.0]], [[0.2, 0.8]])
    assert soft.query.y.shape == (1, 2)
    targets = jaxmeta.make_episode([[0.0]], [[0.0]], [[1.0]], [[1.0]])
    assert targets.query.y.shape == (1, 1)


@pytest.mark.parametrize(
    "x, message",
    [
        (np.array([[1e300], [0.0]]), r"support.x must fit into float32, but row 0 has 1e\+300"),
        (np.array([[0], [2**40]]), r"support.x must fit into int32, but row 1 has 1099511627776"),
    ],
)
def test_numbers_beyond_what_jax_keeps_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        jaxmeta.make_episode(x, [0, 1], [[0.0]], [1])


def test_make_episode_takes_16_bit_floats():
    x = jnp.ones((2, 3), jnp.bfloat16)
    episode = jaxmeta.make_episode(x, [0, 1], x, [1, 0])
    assert episode.support.x.dtype == jnp.bfloat16


def test_mean_loss_leaves_out_padding_and_unlabelled_rows():
    y = jnp.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    examples = Examples(jnp.zeros((4, 1)), y, jnp.array([True, True, True, False]))
    per_example = jnp.array([2.0, 100.0, 4.0, jnp.nan])
    assert losses.mean_loss(lambda outputs, y: per_example, y, examples) == 3.0


def test_mean_loss_counts_zero_targets_of_a_regression():
    examples = Examples(jnp.zeros((2, 1)), jnp.array([[0.0], [2.0]]))
    assert losses.squared_error(jnp.array([[1.0], [2.0]]), examples) == 0.5


def test_mean_loss_refuses_an_averaged_loss():
    examples = Examples(jnp.zeros((2, 1)), jnp.ones((2, 1)))
    with pytest.raises(ValueError, match=r"one loss per example, \[2\]"):
        losses.mean_loss(lambda outputs, y: jnp.mean(outputs), jnp.zeros((2, 1)), examples)


def test_accuracy_counts_labelled_rows():
    y = jnp.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 1.0]])
    logits = jnp.array([[2.0, 1.0], [2.0, 1.0], [5.0, 1.0], [0.0, 1.0]])
    np.testing.assert_allclose(losses.accuracy(logits, Examples(y, y)), 2 / 3, rtol=1e-6)


def test_calibration_error_by_hand():
    # Confidence 0.75 on four rows, of which two are right: |0.75 - 0.5| = 0.25.
    logits = jnp.log(jnp.array([[0.75, 0.25]] * 4))
    y = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    np.testing.assert_allclose(losses.calibration_error(logits, Examples(y, y)), 0.25, rtol=1e-6)
