"""A run tested by another protocol than its own."""

import dataclasses
import json

import jax
import numpy as np
import pytest

import jaxmeta
from jaxmeta import experiments, recipes, runs, tasks
from jaxmeta.command import cli
from jaxmeta.experiments import Protocol
from jaxmeta.experiments.domains.images import DATASETS
from jaxmeta.experiments.methods.gradient import Maml
from jaxmeta.runs.run import load_best


def short(name, learner=None, **fields):
    """A recipe cut to seconds."""
    recipe = recipes.find(name)
    outer = {"steps": 2, "steps_per_call": 1, "validate_every": 2, "validation_episodes": 2}
    return dataclasses.replace(
        recipe,
        net=dataclasses.replace(recipe.net, **fields),
        learner=learner or recipe.learner,
        outer=dataclasses.replace(recipe.outer, meta_batch_size=2, **outer),
        test_episodes=4,
        curve_episodes=2,
    )


@pytest.fixture(scope="module")
def sinusoid(tmp_path_factory):
    run = tmp_path_factory.mktemp("sinusoid")
    runs.train("sinusoid-maml", short("sinusoid-maml", Maml(0.01, 1, 1), hidden=(8,)), run)
    runs.evaluate_run(run)
    return run


def squared_errors(run, sample, seed, *, inner_steps=1, **settings):
    """The run's learner on episodes of that seed, by the library's own functions."""
    best = load_best(run, runs.read_config(run)[1])
    return jaxmeta.evaluate(
        best.experiment.after(inner_steps),
        best.params,
        sample,
        key=jax.random.fold_in(jax.random.key(seed), 1),
        metric=jaxmeta.losses.squared_error,
        **settings,
    )


def test_each_word_of_a_protocol_is_what_is_tested(sinusoid):
    own = (sinusoid / "evaluation.json").read_bytes()
    found = runs.evaluate_run(
        sinusoid, k_shot=3, q_queries=7, inner_steps=2, n_episodes=6, seed=9, split="meta_val"
    )
    file = "evaluation-3-shot-7-queries-2-inner-steps-meta_val-seed-9-6-episodes.json"
    assert json.loads((sinusoid / file).read_text()) == found
    assert (sinusoid / "evaluation.json").read_bytes() == own
    sample = tasks.sinusoid(k_shot=3, q_queries=7)
    expected = squared_errors(sinusoid, sample, 9, inner_steps=2, n_episodes=6)
    assert found["inductive"]["mean"] == expected.mean
    assert found["inductive"]["interval"] == expected.interval
    assert found["adaptation"]["3-shot"][-1]["inner_steps"] == 2
    assert found["seed"] == 0 and found["seed_of_episodes"] == 9 and found["split"] == "meta_val"
    assert found["published"] == "none at this setting"
    other = runs.evaluate_run(sinusoid, seed=9)
    assert other["published"] == json.loads(own)["published"]  # Other episodes, the same setting.
    assert other["inductive"]["mean"] != json.loads(own)["inductive"]["mean"]


def test_episodes_are_a_function_of_seed_and_index(sinusoid):
    sample = tasks.sinusoid(k_shot=5, q_queries=100)
    few, many = (squared_errors(sinusoid, sample, 3, n_episodes=n) for n in (3, 5))
    np.testing.assert_array_equal(few.per_episode, many.per_episode[:3])
    assert runs.evaluate_run(sinusoid, seed=3, n_episodes=5)["inductive"]["mean"] == many.mean


def test_what_says_the_same_as_the_recipe_is_its_own(sinusoid):
    own = json.loads((sinusoid / "evaluation.json").read_text())
    found = runs.evaluate_run(
        sinusoid, k_shot=5, q_queries=100, inner_steps=1, n_episodes=4, seed=0
    )
    assert found == own
    assert runs.evaluation_file(sinusoid, Protocol(inner_steps=1)).name == "evaluation.json"


@pytest.mark.parametrize(
    "words, message",
    [
        ({"n_way": 5}, "n_way is 5, and episodes of Sinusoid have no such setting"),
        ({"inner_steps": -1}, "inner_steps must be >= 0, got -1"),
        ({"k_shot": 0}, "k_shot must be >= 1, got 0"),
        ({"n_episodes": 0}, "n_episodes must be >= 1, got 0"),
    ],
)
def test_what_a_run_does_not_take(sinusoid, words, message):
    with pytest.raises(ValueError, match=message):
        runs.evaluate_run(sinusoid, **words)


def test_methods_say_what_inner_steps_they_take():
    def at(name, **words):
        return experiments.protocol.tested(recipes.find(name), Protocol(**words))

    at_two = at("glyphs-maml-5w1s", k_shot=2, q_queries=3).task
    assert experiments.protocol.short_setting(at_two) == "5w2s"
    assert at("glyphs-maml-plus-plus-5w1s", inner_steps=2).learner.test_inner_steps == 2
    with pytest.raises(ValueError, match=r"at most the 3 inner steps of training, .* got 6"):
        experiments.build(at("glyphs-maml-plus-plus-5w1s", inner_steps=6))
    with pytest.raises(ValueError, match="inner_steps must be >= 1, got 0"):
        at("glyphs-maml-plus-plus-5w1s", inner_steps=0)
    with pytest.raises(ValueError, match="with an inner loop, and Prototypical is none, got 3"):
        at("omniglot-prototypical-5w1s", inner_steps=3)
    with pytest.raises(ValueError, match=r"n_way must be 5, .* got 20"):
        at("glyphs-maml-5w1s", n_way=20)
    with pytest.raises(ValueError, match="transductive is True, and episodes of Bandits"):
        at("bandit-rl2-5a10", transductive=True)
    with pytest.raises(ValueError, match="n_way is 15, and episodes of Streams"):
        at("glyphs-mann-3", n_way=15)
    both = at("gaussian-process-conditional", k_shot=5)
    assert (both.task.least_k_shot, both.task.most_k_shot) == (5, 5)
    assert list(both.task.samples().meta_test) == ["5-shot"]


def test_images_at_other_shots_of_another_split_printed_as_json(
    tmp_path, capsys, monkeypatch, small_images
):
    monkeypatch.setattr(experiments, "use_all_cores", lambda: None)  # JAX has started already.
    name = "omniglot-prototypical-5w1s"
    runs.train(name, short(name, width=2), tmp_path)
    capsys.readouterr()
    words = ["--k-shot", "2", "--q-queries", "3", "--transductive", "--split", "meta_train"]
    monkeypatch.setattr(cli, "keep_programs", lambda: None)
    cli.main(["evaluate", str(tmp_path), *words, "--seed", "4", "--json"])
    found = json.loads(capsys.readouterr().out)
    file = tmp_path / "evaluation-5w2s-3-queries-transductive-meta_train-seed-4.json"
    assert json.loads(file.read_text()) == found
    assert not (tmp_path / "evaluation.json").exists() and not list(tmp_path.glob("*.png"))
    assert "inductive" not in found and found["setting"] == "5-way 2-shot"
    _, recipe = runs.read_config(tmp_path)
    best = load_best(tmp_path, recipe)
    shared = {"n_way": 5, "k_shot": 2, "q_queries": 3, "rotations": recipe.task.rotations}
    sample = tasks.episodes(DATASETS["omniglot"](recipe.task).meta_train, **shared)
    expected = jaxmeta.evaluate(
        best.experiment.at_test,
        best.params,
        sample,
        n_episodes=4,
        key=jax.random.fold_in(jax.random.key(4), 1),
        transductive=True,
    )
    assert found["transductive"]["mean"] == expected.mean
