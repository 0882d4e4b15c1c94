"""An environment of gymnax as the tasks of a recipe."""

import dataclasses
import sys

import jax
import numpy as np
import pytest

from jaxmeta import experiments, recipes, runs
from jaxmeta.experiments.domains.elsewhere import Environments
from jaxmeta.experiments.nets import Memory


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnax", None)
    with pytest.raises(ValueError, match=r"needs gymnax: pip install 'jaxmeta\[gymnax\]'"):
        Environments().build()


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"environment": "CartPole-v1"}, "environment must be gymnax:NAME, got 'CartPole-v1'"),
        ({"environment": "gymnax:Pole"}, "gymnax has no environment 'Pole'; it has CartPole-v1, "),
        ({"least_factor": 3.0}, r"least_factor must be at most most_factor \(2.0\), got 3.0"),
        ({"vary": ("size",)}, "vary must be some of gravity, .*, got 'size'"),
    ],
)
def test_what_is_no_environment(fields, message):
    pytest.importorskip("gymnax", reason="needs the extra `gymnax`")
    with pytest.raises(ValueError, match=message):
        Environments(**fields).build().sample(jax.random.key(0))


def test_a_run(tmp_path):
    pytest.importorskip("gymnax", reason="needs the extra `gymnax`")
    lengths = jax.vmap(Environments().build().sample)(jax.random.split(jax.random.key(0), 200))
    assert 0.25 <= lengths.length.min() < 0.3 and 0.9 < lengths.length.max() <= 1.0
    recipe = recipes.find("bandit-rl2-5a10")
    recipe = dataclasses.replace(
        recipe,
        task=Environments(horizon=5),
        net=Memory(hidden=4),
        outer=experiments.Outer(
            steps=1, meta_batch_size=4, steps_per_call=1, validate_every=1, validation_episodes=2
        ),
        test_episodes=2,
    )
    runs.train("poles", recipe, tmp_path)
    assert runs.read_config(tmp_path) == ("poles", recipe)
    results = runs.evaluate_run(tmp_path)
    assert results["setting"] == "CartPole-v1, other length in each task"
    assert np.isfinite(results["return"]["mean"])
