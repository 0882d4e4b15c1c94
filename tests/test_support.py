"""The one view of a support set, against rows written out by hand."""

import ast
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta
from jaxmeta.support import as_support, class_support

NAN = np.nan
# A row of class 0, padding that holds NaN, an unlabelled row, padding that says class 2.
X = jnp.array([[1.0, 2.0], [NAN, NAN], [3.0, 4.0], [5.0, 6.0]])
Y = jnp.array([[1.0, 0, 0], [NAN, NAN, NAN], [0, 0, 0], [0, 0, 1.0]])
IS_VALID = jnp.array([True, False, True, False])


@pytest.mark.parametrize("view", [as_support, class_support])
def test_padding_is_zero_and_of_no_class(view):
    found = view(jaxmeta.Examples(X, Y, IS_VALID))
    np.testing.assert_array_equal(found.x, [[1, 2], [0, 0], [3, 4], [0, 0]])
    np.testing.assert_array_equal(found.y, [[1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(found.is_valid, IS_VALID)
    np.testing.assert_array_equal(found.is_labelled, [True, False, False, False])
    np.testing.assert_array_equal(found.is_present, [True, False, False])


def test_without_a_mask_every_row_is_valid():
    found = as_support(jaxmeta.Examples(X[::2], Y[::2]))
    np.testing.assert_array_equal(found.is_valid, [True, True])
    np.testing.assert_array_equal(found.is_labelled, [True, False])
    np.testing.assert_array_equal(found.is_present, [True, False, False])


def test_a_target_of_zero_is_a_target():
    found = as_support(jaxmeta.Examples(jnp.ones((3, 1)), jnp.zeros((3, 1)), IS_VALID[:3]))
    np.testing.assert_array_equal(found.is_labelled, IS_VALID[:3])


def test_classes_need_a_column_each():
    with pytest.raises(ValueError, match=r"a column for each class, 2 or more, got y of shape"):
        class_support(jaxmeta.Examples(jnp.ones((3, 1)), jnp.ones((3, 1))))
    for view in (as_support, class_support):
        with pytest.raises(ValueError, match=r"y must be \[M, N\] one-hot or \[M, D\]"):
            view(jaxmeta.Examples(jnp.ones((3, 1)), jnp.ones(3)))


def asks_for_none(path):
    """Lines on which `is_valid`, by itself or as a field, is compared with None."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Is | ast.IsNot):
            name = getattr(node.left, "id", getattr(node.left, "attr", ""))
            if name == "is_valid" and ast.unparse(node.comparators[0]) == "None":
                yield node.lineno


def test_no_learner_asks_whether_there_is_a_mask():
    package = Path(jaxmeta.__file__).parent
    paths = [*(package / "learners").rglob("*.py"), package / "heads.py", package / "net.py"]
    assert len(paths) > 25 and list(asks_for_none(package / "support.py"))  # It can be found.
    assert not {path.name: lines for path in paths if (lines := list(asks_for_none(path)))}
