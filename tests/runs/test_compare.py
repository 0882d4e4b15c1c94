"""Runs on the same episodes."""

import csv
import dataclasses
import json

import jax
import numpy as np
import pytest
from scipy import stats

import jaxmeta
from jaxmeta import experiments, recipes, runs
from jaxmeta.command import cli
from jaxmeta.experiments.domains.environments import Bandits, Navigation
from jaxmeta.experiments.domains.regression import Quadratic
from jaxmeta.experiments.methods.gradient import Maml
from jaxmeta.experiments.methods.reinforcement import MamlRl
from jaxmeta.runs.compare import check_comparable, holm, paired
from jaxmeta.runs.run import load_best

OUTER = {"steps": 2, "steps_per_call": 1, "validate_every": 2, "validation_episodes": 2}


def short(name, seed=0, **parts):
    """A recipe cut to seconds."""
    recipe = dataclasses.replace(recipes.find(name), **parts)
    outer = dataclasses.replace(recipe.outer, **OUTER, seed=seed, meta_batch_size=2)
    return dataclasses.replace(recipe, outer=outer, test_episodes=6, curve_episodes=2)


@pytest.fixture(scope="module")
def sinusoids(tmp_path_factory):
    """Two seeds of MAML and one of first-order MAML."""
    folder = tmp_path_factory.mktemp("sinusoids")
    net, learner = experiments.nets.Mlp(hidden=(8,)), Maml(0.01, 1, 1)
    first_order = dataclasses.replace(learner, derivative="first_order")
    for name, seed, method in (("a", 0, learner), ("b", 1, learner), ("c", 0, first_order)):
        recipe = short("sinusoid-maml", seed, net=net, learner=method)
        runs.train("sinusoid-maml", recipe, folder / name)
    return [folder / name for name in "abc"]


def test_numbers_of_pairs_against_scipy():
    generator = np.random.default_rng(0)
    means = {"a": 0, "b": 0.3, "c": 1}
    values = {name: generator.normal(size=50) + mean for name, mean in means.items()}
    found = paired(values)
    assert [(pair.first, pair.second) for pair in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    for pair in found:
        one, other = values[pair.first], values[pair.second]
        expected = stats.ttest_rel(one, other)
        low, high = expected.confidence_interval(0.95)
        np.testing.assert_allclose(pair.p_value, expected.pvalue, rtol=1e-10)
        np.testing.assert_allclose(
            [pair.mean - pair.interval, pair.mean + pair.interval], [low, high], rtol=1e-10
        )
        np.testing.assert_allclose(pair.mean, np.mean(one) - np.mean(other), rtol=1e-10)
    order = sorted(found, key=lambda pair: pair.p_value)
    least, middle, most = (pair.p_value for pair in order)
    expected = np.maximum.accumulate([3 * least, 2 * middle, most])
    np.testing.assert_allclose([pair.p_holm for pair in order], np.minimum(expected, 1))


def test_holm_by_hand():
    # Holm 1979: 0.005 * 4, 0.01 * 3, then max(0.03, 0.03 * 2), and 0.04 is not below 0.06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([0.2]) == [0.2]


def test_differences_without_a_spread():
    values = np.array([0.25, 0.5, 0.75])
    found = paired({"a": values, "b": values, "c": values + 1})
    assert (found[0].mean, found[0].interval, found[0].p_value) == (0.0, 0.0, 1.0)
    assert (found[1].mean, found[1].interval, found[1].p_value) == (-1.0, 0.0, 0.0)


def test_runs_meet_the_episodes_of_the_evaluation(sinusoids):
    lines = []
    found = runs.compare(sinusoids, n_episodes=5, seed=7, k_shot=3, report=lines.append)
    assert [run.run for run in found.runs] == ["a", "b", "c"] and len(lines) == 3
    assert "2/3 b: MSE" in lines[1] and "s left" in lines[1]
    for folder, run in zip(sinusoids, found.runs, strict=True):
        best = load_best(folder, runs.read_config(folder)[1])
        expected = jaxmeta.evaluate(
            best.experiment.at_test,
            best.params,
            jaxmeta.tasks.sinusoid(k_shot=3, q_queries=100),
            n_episodes=5,
            key=jax.random.fold_in(jax.random.key(7), 1),
            metric=jaxmeta.losses.squared_error,
        )
        np.testing.assert_array_equal(run.per_episode, expected.per_episode)
        assert (run.mean, run.interval) == (expected.mean, expected.interval)
        assert (
            run.mean
            == runs.evaluate_run(folder, k_shot=3, seed=7, n_episodes=5)["inductive"]["mean"]
        )
    assert found.setting == "3-shot" and found.measured == found.metric == "mean squared error"
    assert dataclasses.is_dataclass(found) and json.dumps(found.as_json())
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.seed = 1


def test_the_command_prints_and_writes(sinusoids, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(experiments, "use_all_cores", lambda: None)  # JAX has started already.
    monkeypatch.setattr(cli, "keep_programs", lambda: None)
    files = [str(tmp_path / f"table.{kind}") for kind in ("csv", "tex", "json")]
    words = ["compare", *map(str, sinusoids), "--n-episodes", "4"]
    cli.main([*words, "--out", *files])
    printed = capsys.readouterr()
    assert "mean squared error, 5-shot: 4 episodes of seed 0" in printed.out
    assert "a - b" in printed.out and "by Holm" in printed.out
    assert "3/3 c" in printed.err and "wrote" in printed.err
    cli.main([*words, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((tmp_path / "table.json").read_text())
    assert len(found["differences"]) == 3 and "per_episode" not in found["runs"][0]
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert [row["second"] for row in rows] == ["", "", "", "b", "c", "c"]
    assert float(rows[3]["mean"]) == found["differences"][0]["mean"]
    tex = (tmp_path / "table.tex").read_text()
    assert tex.count(r"\\") == 7 and r"\begin{tabular}{lrrr}" in tex
    with pytest.raises(SystemExit):
        cli.main([*words, "--out", "table.xlsx"])
    assert "out must end in .csv, .tex, .json, got table.xlsx" in capsys.readouterr().err


def test_what_does_not_compare(sinusoids, tmp_path):
    with pytest.raises(ValueError, match="runs must be >= 2, got 1"):
        runs.compare(sinusoids[:1])
    with pytest.raises(ValueError, match="n_episodes must be >= 2, got 1"):
        runs.compare(sinusoids, n_episodes=1)
    with pytest.raises(ValueError, match="each run must be given once"):
        runs.compare([sinusoids[0], sinusoids[0] / ".." / "a"])

    def refused(one, other, message):
        with pytest.raises(ValueError, match=message):
            check_comparable(("one", one), ("other", other))

    sinusoid, glyphs = recipes.find("sinusoid-maml"), recipes.find("glyphs-maml-5w1s")
    check_comparable(("one", sinusoid), ("other", recipes.find("sinusoid-reptile")))
    refused(
        sinusoid,
        dataclasses.replace(sinusoid, task=Quadratic()),
        "one and other do not compare: the domain is Sinusoid in the one and Quadratic",
    )
    twenty = dataclasses.replace(glyphs, task=dataclasses.replace(glyphs.task, n_way=20))
    refused(glyphs, twenty, "n_way is 5 in the one and 20 in the other")
    trained = dataclasses.replace(glyphs, task=dataclasses.replace(glyphs.task, train_n_way=20))
    check_comparable(("one", glyphs), ("other", trained))
    bandits = recipes.find("bandit-rl2-5a10")
    refused(
        dataclasses.replace(bandits, task=Navigation()),
        dataclasses.replace(bandits, task=Navigation(), learner=MamlRl(inner_steps=2)),
        "the metric is return of a trial in the one and return of an episode after 2 inner steps",
    )
    refused(bandits, dataclasses.replace(bandits, task=Bandits(n_arms=4)), "n_arms is 5 .* and 4")


def test_data_that_are_not_the_same_are_seen_in_the_first_episode(sinusoids, monkeypatch):
    def other(self):
        samples = original(self)
        count.append(1)
        if len(count) < 2:
            return samples
        shifted = {
            name: lambda key, sample=sample: jax.tree.map(lambda leaf: leaf + 1, sample(key))
            for name, sample in samples.meta_test.items()
        }
        return samples._replace(meta_test=shifted)

    count, original = [], experiments.domains.regression.Sinusoid.samples
    monkeypatch.setattr(experiments.domains.regression.Sinusoid, "samples", other)
    with pytest.raises(ValueError, match="a and b do not compare: their first test episodes"):
        runs.compare(sinusoids[:2], n_episodes=2)


@pytest.mark.parametrize("name", ["bandit-rl2-5a10", "glyphs-mann-3"])
def test_agents_and_streams_compare_by_their_own_metric(name, tmp_path):
    recipe = recipes.find(name)
    replace = dataclasses.replace
    if recipe.task.acts:
        learner = replace(recipe.learner, minibatches=1, epochs=1)
        parts = {"net": replace(recipe.net, hidden=4), "learner": learner}
    else:
        learner = replace(recipe.learner, hidden=4, slots=4, width=4)
        parts = {"task": replace(recipe.task, per_class=2), "learner": learner}
    for seed in (0, 1):
        runs.train(name, short(name, seed, **parts), tmp_path / str(seed))
    found = runs.compare([tmp_path / "0", tmp_path / "1"], n_episodes=6)
    assert found.metric == recipe.task.metric.name
    result = runs.evaluate_run(tmp_path / "0")  # Its seed of episodes is 0 too.
    row = "return" if recipe.task.acts else "inductive"
    np.testing.assert_allclose(found.runs[0].mean, result[row]["mean"], rtol=1e-6)
    (difference,) = found.differences
    one, other = (run.per_episode for run in found.runs)
    np.testing.assert_allclose(difference.mean, np.mean(one) - np.mean(other), atol=1e-12)
    assert found.measured == ("return of a trial" if recipe.task.acts else "accuracy")


def test_a_domain_of_two_files_is_refused():
    """Two classes of one name may score by other rules."""

    def domain():
        @dataclasses.dataclass(frozen=True)
        class Sinusoid(type(recipes.find("sinusoid-maml").task)):
            """Of a user's file."""

        return Sinusoid()

    recipe = recipes.find("sinusoid-maml")
    one, other = (dataclasses.replace(recipe, task=domain()) for _ in range(2))
    with pytest.raises(ValueError, match="Sinusoid is of two files"):
        check_comparable(("a", one), ("b", other))
