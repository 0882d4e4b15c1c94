import dataclasses
import json
import warnings

import jax
import numpy as np
import pytest

from jaxmeta import FewShotClassifier, experiments, plots, recipes, runs
from jaxmeta.command import cli
from jaxmeta.experiments.domains.environments import Locomotion
from jaxmeta.recipes.agents import AGENTS


@pytest.fixture(autouse=True)
def one_device(monkeypatch):
    monkeypatch.setattr(experiments, "use_all_cores", lambda: None)  # JAX has started already.


@pytest.mark.parametrize("name", AGENTS)
def test_every_recipe_of_an_agent_builds_and_says_what_it_is(name):
    recipe = recipes.find(name)
    assert recipe.paper and recipe.published and recipe.changes
    if isinstance(recipe.task, Locomotion):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pytest.importorskip("brax.envs", reason="needs the extra `brax`", exc_type=ImportError)
            experiment = experiments.build(recipe)
    else:
        experiment = experiments.build(recipe)
    agent, sample = experiment.learner, experiment.meta_train
    key = jax.random.key(0)
    task = jax.eval_shape(sample, key)
    params = jax.eval_shape(agent.init, key, task)
    batch = jax.eval_shape(agent.collect, params, key, task)
    replay = jax.eval_shape(agent.replay, params, batch)
    assert replay.log_ratio.shape == batch.is_valid.shape
    assert batch.advantages is None or batch.advantages.shape == batch.is_valid.shape
    returns = jax.eval_shape(agent.test, params, key, task).returns
    assert jax.eval_shape(experiment.metric, returns).shape == ()
    outer = recipe.outer
    assert outer.steps % outer.validate_every == outer.validate_every % outer.steps_per_call == 0
    assert outer.meta_batch_size % getattr(recipe.learner, "minibatches", 1) == 0


SHORT = (
    *("--steps", "2", "--steps-per-call", "1", "--validate-every", "1"),
    *("--validation-episodes", "4", "--test-episodes", "6", "--meta-batch-size", "4"),
)


def test_a_run_on_bandits_from_training_to_the_regret(tmp_path, capsys):
    run = tmp_path / "run"
    arguments = ["train", "bandit-rl2-5a10", "--run-dir", str(run), *SHORT]
    cli.main([*arguments, "--memory", "snail", "--filters", "2", "--n-arms", "2", "--n-pulls", "3"])
    printed = capsys.readouterr().out
    result = json.loads((run / "evaluation.json").read_text())
    assert result["metric"] == "return" and result["setting"] == "2 arms, 3 pulls"
    assert 0 <= result["return"]["mean"] <= 3
    assert f"{result['return']['mean']:.3f}" in printed and "Bayes optimum" in printed
    names = {"agent", "Thompson sampling", "UCB1", "greedy", "Bayes optimum"}
    assert result["regret"].keys() == result["expected_reward"].keys() == names
    for name in names:
        regret = result["regret"][name]["mean"]
        assert len(regret) == 3 and np.all(np.diff([0, *regret]) >= 0)
    # 1/2 lost of 2/3 at first; 2/3 - 1/2 = 1/6 at each pull, less as soon as something is known.
    np.testing.assert_allclose(result["regret"]["Bayes optimum"]["mean"][0], 1 / 6)
    assert (run / "curves.png").stat().st_size > 10_000
    with pytest.raises(ValueError, match="is not one of few-shot episodes"):
        FewShotClassifier.from_run(run)


def test_a_run_on_navigation_from_training_to_the_paths(tmp_path, capsys):
    run = tmp_path / "run"
    small = ("--horizon", "3", "--episodes", "2", "--hidden", "4", "--test-inner-lrs", "0.1")
    cli.main(["train", "navigation-maml", "--run-dir", str(run), *SHORT, *small])
    result = json.loads((run / "evaluation.json").read_text())
    setting, untrained = result["adaptation"].values()
    assert [point["inner_steps"] for point in setting] == [0, 1]
    assert setting[1]["mean"] == result["return"]["mean"]
    assert untrained[1]["mean"] == result["untrained"]["mean"]
    cli.main(["plot", str(run)])
    assert (run / "paths.png").stat().st_size > 10_000
    paths = runs.paths_of_run(run)
    assert paths.positions.shape == (4, 2, 2, 3, 2)
    assert not paths.positions[..., 0, :].any()  # All begin in the origin.
    figure = plots.draw_paths(paths, "paths")
    assert len(figure.axes) == 8 and "navigation" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["analyse", str(run)])
    assert "analyse needs a learner that adapts the weights" in capsys.readouterr().err


def test_the_returns_of_a_trial_by_episode(tmp_path):
    recipe = recipes.find("mdp-rl2")
    recipe = dataclasses.replace(
        recipe,
        task=dataclasses.replace(recipe.task, n_states=2, n_actions=2, horizon=2, trial=3),
        net=dataclasses.replace(recipe.net, hidden=2),
        learner=dataclasses.replace(recipe.learner, update="a2c"),
        outer=dataclasses.replace(
            recipe.outer,
            steps=1,
            steps_per_call=1,
            meta_batch_size=2,
            validate_every=1,
            validation_episodes=2,
        ),
        test_episodes=4,
    )
    runs.train("mdp-rl2", recipe, tmp_path)
    result = runs.evaluate_run(tmp_path)
    curve = result["by_episode"]["trained"]["mean"]
    np.testing.assert_allclose(sum(curve), result["return"]["mean"], rtol=1e-5)
    assert runs.paths_of_run(tmp_path) is None
    figure = plots.draw_runs({"run": ([], result)})
    assert [axes.get_title() for axes in figure.axes][-1] == "Trials"


def test_a_learner_cannot_act():
    recipe = recipes.find("sinusoid-maml")
    with pytest.raises(ValueError, match="Bandits is for agents, got Maml"):
        experiments.build(dataclasses.replace(recipe, task=recipes.find("bandit-rl2-5a10").task))
