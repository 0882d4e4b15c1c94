"""Meta-gradients in float32 against float64; the whole table is a benchmark, and slow here."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "float32_meta_gradients.py"


def benchmark():
    spec = importlib.util.spec_from_file_location("float32_meta_gradients", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# iMAML's was NaN once: conjugate gradients went on past the precision of float32.
@pytest.mark.parametrize("name", ["maml", "imaml", "prototypical"])
def test_a_meta_gradient_in_float32(name):
    module = benchmark()
    rows, sample = module.rows()
    assert module.errors(rows[name].learner, sample).max() < 1e-5


@pytest.mark.slow
def test_every_meta_gradient_in_float32():
    module = benchmark()
    rows, sample = module.rows()
    for name, row in rows.items():
        if name != "nearest_neighbour":
            # Adam's division by the root of a small square costs two more digits.
            assert module.errors(row.learner, sample).max() < 1e-4, name
