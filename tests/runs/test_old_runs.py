"""A run of the first release, whose config does not say what its parts are: old_run.zip."""

import dataclasses
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from jaxmeta import recipes, runs
from jaxmeta.experiments.methods.gradient import Maml


@pytest.fixture
def old(tmp_path):
    with zipfile.ZipFile(Path(__file__).with_name("old_run.zip")) as file:
        file.extractall(tmp_path / "run")
    return tmp_path / "run"


def numbers(results):
    """Means and intervals, in order."""
    if isinstance(results, dict):
        return [number for part in results.values() for number in numbers(part)]
    if isinstance(results, list):
        return [number for part in results for number in numbers(part)]
    return [results] if isinstance(results, float) else []


def test_it_is_read_without_the_recipe(old, monkeypatch):
    monkeypatch.setattr(recipes.catalogue, "ALL", {})
    name, recipe = runs.read_config(old)
    assert name == "sinusoid-maml" and recipe.learner == Maml(0.01, 1, 1)
    assert recipe.outer.steps == 4 and recipe.net.hidden == (4,)


def test_its_meta_test_is_what_it_was(old):
    before = json.loads((old / "evaluation.json").read_text())
    after = runs.evaluate_run(old)
    for parts in (before, after):
        del parts["seconds_trained"], parts["versions"]
    assert after.keys() - before.keys() == {
        "params_sha256",
        "seed_of_episodes",
        "split",
    }
    np.testing.assert_allclose(numbers(after), numbers(before), rtol=1e-4)


def test_it_goes_on(old):
    """In the words it has, with more steps in them, and not with other fields."""
    name, recipe = runs.read_config(old)
    longer = dataclasses.replace(recipe, outer=dataclasses.replace(recipe.outer, steps=6))
    other = dataclasses.replace(longer, learner=Maml(0.02, 1, 1))
    with pytest.raises(ValueError, match=r"learner.inner_lr is 0.02, was 0.01"):
        runs.train(name, other, old, resume=True)
    fitted = runs.train(name, longer, old, resume=True)
    assert fitted.is_complete and int(fitted.state.step) == 6
    assert runs.read_config(old) == (name, longer)
    fields = json.loads((old / "config.json").read_text())["fields"]
    assert "type" not in fields and fields["outer"]["steps"] == 6


RESULTS = sorted((Path(__file__).resolve().parents[2] / "benchmarks/results").glob("*/config.json"))


@pytest.mark.parametrize("config", RESULTS, ids=lambda path: path.parent.name)
def test_every_committed_result_is_read(config):
    name, recipe = runs.read_config(config.parent)
    assert name in recipes.ALL and recipe.paper == recipes.find(name).paper
