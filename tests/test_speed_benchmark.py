import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[1] / "benchmarks/speed/workloads.py"


@pytest.fixture(scope="module")
def workloads():
    spec = importlib.util.spec_from_file_location("workloads", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.WORKLOADS


def test_arithmetic_of_conv4_by_hand(workloads):
    # Per image: 2 * 9 * 64 * 28^2 first, then 2 * 9 * 64 * 64 * (14^2 + 7^2 + 3^2).
    first, rest = 903_168, 73_728 * 254
    for tasks in (4, 16):
        inner, query = 5 * 5 * (4 * first + 9 * rest), 75 * (2 * first + 3 * rest)
        assert workloads[f"conv4-{tasks}"].arithmetic() == tasks * (inner + query)
        inner = 5 * 5 * (2 * first + 3 * rest)
        assert workloads[f"conv4-{tasks}-first-order"].arithmetic() == tasks * (inner + query)
    assert workloads["prototypical"].arithmetic() == 200 * (2 * first + 3 * rest)


def test_what_arithmetic_does_not_decide_has_none(workloads):
    assert workloads["sinusoid-20"].arithmetic() is None
    assert workloads["mann"].arithmetic() is None
