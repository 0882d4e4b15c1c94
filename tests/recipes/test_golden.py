"""Every recipe builds what it built when golden.json was written; `golden.py` writes it."""

import json

import golden
import numpy as np
import pytest

from jaxmeta import recipes
from jaxmeta.experiments.domains.environments import Locomotion

EXPECTED = json.loads(golden.GOLDEN.read_text())
QUICK = {  # one recipe of each domain, the smallest
    "sinusoid-maml",
    "quadratic-learned-optimizer",
    "gaussian-process-conditional",
    "glyphs-prototypical-5w1s",
    "glyphs-mann-3",
    "bandit-rl2-5a10",
}


def test_every_recipe_is_there():
    """All but those of robots, whose physics are an extra."""
    robots = {name for name, recipe in recipes.ALL.items() if isinstance(recipe.task, Locomotion)}
    assert EXPECTED.keys() == recipes.ALL.keys() - robots and QUICK <= EXPECTED.keys()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in sorted(EXPECTED)
    ],
)
def test_a_recipe_builds_what_it_built(name, small_images, strict_ranks):
    found = golden.summary(*golden.measure(name))
    expected = dict(EXPECTED[name])
    if (loss := expected.pop("loss")) is not None:
        # Of a compiler on another machine; a recipe that differs is off by far more.
        np.testing.assert_allclose(found["loss"], loss, rtol=2e-3, atol=1e-5)
    del found["loss"]
    assert found == expected
