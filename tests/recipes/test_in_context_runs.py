import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import experiments, plots, recipes, runs
from jaxmeta.command import cli
from jaxmeta.experiments.domains.environments import DarkRoom, KeyToDoor
from jaxmeta.experiments.reports.in_context import _chance, multisets
from jaxmeta.recipes.in_context import IN_CONTEXT
from jaxmeta.runs.checkpoints import Checkpoints


@pytest.fixture(autouse=True)
def one_device(monkeypatch):
    monkeypatch.setattr(experiments, "use_all_cores", lambda: None)  # JAX has started already.


SHORT = (
    *("--steps", "2", "--steps-per-call", "1", "--validate-every", "1"),
    *("--validation-episodes", "4", "--test-episodes", "6", "--meta-batch-size", "2"),
    *("--width", "4", "--layers", "1"),
)


def run(tmp_path, name, *arguments):
    folder = tmp_path / "run"
    cli.main(["train", name, "--run-dir", str(folder), *SHORT, *arguments])
    return folder, json.loads((folder / "evaluation.json").read_text())


def test_a_pretrained_agent_on_bandits_and_how_good_its_posterior_is(tmp_path, capsys):
    folder, result = run(
        tmp_path, "bandit-dpt-5a10", "--n-arms", "2", "--n-pulls", "3", "--context", "3"
    )
    assert result["regret"].keys() >= {"agent", "Thompson sampling", "Bayes optimum"}
    assert result["validated_by"] == result["trained_on"] == "log-likelihood"
    rows = result["posterior"]["total_variation"]
    # Outcomes are 4: an arm, and what it paid; contexts are their multisets.
    assert [row["contexts"] for row in rows] == [1, 4, 10, 20]
    assert all(0 <= row["mean"] <= row["largest"] <= 1 for row in rows)
    # Hardly trained it answers evenly: right with nothing seen, 1/6 off after one pull.
    assert rows[0]["largest"] < 0.05 and abs(rows[1]["mean"] - 1 / 6) < 0.05
    cli.main(["plot", str(folder)])
    assert (folder / "attention.png").stat().st_size > 5_000
    assert "attention.png" in capsys.readouterr().out
    view = runs.attention_of_run(folder)
    assert view.weights.shape == (1, 3, 3) and view.episode.tolist() == [0, 1, 2]
    assert not np.triu(view.weights[0]).any() and (view.weights[0][1:].sum(1) > 0).all()


def test_a_distilled_agent_beside_its_source(tmp_path):
    folder, result = run(
        tmp_path,
        "dark-room-ad",
        *("--size", "3", "--start", "1", "1", "--horizon", "4", "--trial", "2"),
        *("--source-episodes", "8"),
    )
    source = result["source_by_episode"]["mean"]
    assert len(source) == 8 and len(result["by_episode"]["trained"]["mean"]) == 2
    # At best 4 steps less the 4 / 3 to the goal, plus 1, and 1 / 9 less where that is the start.
    np.testing.assert_allclose(result["optimum_of_an_episode"], 4 - 4 / 3 + 1 - 1 / 9)
    assert max(source) <= 4
    figure = plots.draw_runs({"run": ([], result)})
    labels = figure.axes[-1].get_legend_handles_labels()[1]
    assert {"best possible", "source learner", "source learner, episode 8"} <= set(labels)
    view = runs.attention_of_run(folder)
    assert view.weights.shape == (1, 8, 8)
    np.testing.assert_allclose(view.weights.sum(-1), 1, rtol=1e-5)
    assert not np.triu(view.weights[0], 1).any()


def test_a_run_with_a_buffer_is_whole_with_its_checkpoints(tmp_path):
    folder, result = run(
        tmp_path,
        "dark-room-odt",
        *("--size", "3", "--start", "1", "1", "--horizon", "4", "--trial", "2"),
        *("--context", "4", "--capacity", "5", "--offline-trials", "6"),
        *("--offline-rounds", "1", "--updates", "2", "--windows", "3", "--warm-up", "0"),
    )
    assert result["trained_on"] == "log-likelihood" and "validated_by" not in result
    _, recipe = recipes.read_config(folder)
    experiment = recipes.build(recipe)
    key = jax.random.key(0)
    parts = (experiment.learner, experiment.tx, experiment.meta_train)
    like = experiment.init_state(key, *parts)
    found = Checkpoints(folder).resume(like, like.params)
    assert found.step == 2 and int(found.state.buffer.size) == 5
    assert int(found.state.buffer.oldest) == 2  # One round of two trials.
    replay = runs.replay_run(folder, step=1)
    assert replay.task is None and np.isfinite(replay.tasks.loss).all()
    assert runs.attention_of_run(folder) is None


def test_the_given_context_of_a_dark_room(tmp_path):
    _, result = run(
        tmp_path,
        "dark-room-dpt",
        *("--size", "3", "--horizon", "4", "--trial", "2", "--context", "5"),
    )
    assert result["given_context"].keys() == {"behaviour alone", "with the teacher"}
    assert "posterior" not in result
    panels = plots.draw_runs({"run": ([], result)}).axes
    assert panels[0].get_ylabel() == "minus the log-likelihood in training"
    # Validation is of another unit than the return of fresh parameters.
    assert panels[1].get_ylabel() == "log-likelihood on meta_val" and len(panels[1].lines) == 1
    assert 0 <= result["given_context"]["with the teacher"]["mean"] <= 4


def test_optima_are_those_of_the_rooms():
    np.testing.assert_allclose(DarkRoom().optimum, 91.99)
    np.testing.assert_allclose(
        DarkRoom(size=9, horizon=20, start=(4, 4)).optimum, 20 - 40 / 9 + 1 - 1 / 81
    )
    # Out of reach, a goal pays nothing: 1 step of a 2x2 room reaches three of four cells.
    np.testing.assert_allclose(DarkRoom(size=2, horizon=1).optimum, 3 / 4)
    assert KeyToDoor().optimum == 2


def test_multisets_and_their_chances_by_hand():
    assert multisets(3, 2).tolist() == [[0, 0], [0, 1], [1, 1], [0, 2], [1, 2], [2, 2]]
    assert multisets(4, 0).shape == (1, 0)
    # Two arms: contexts of a number of pulls are as likely as can be counted; they sum to 1.
    contexts = multisets(4, 3)
    counts = (contexts[..., None] == np.arange(4)).sum(1)
    chances = _chance(counts[:, ::2] + counts[:, 1::2])
    np.testing.assert_allclose(chances.sum(), 1)
    won_once_each = (counts == [0, 1, 0, 2]).all(1)  # 3 orders of 8, times 1/2 and 1/3.
    np.testing.assert_allclose(chances[won_once_each], 3 / 8 / 6)


def test_navigation_has_a_teacher():
    task = recipes.find("navigation-odt").task
    action = task.teacher(jnp.zeros(2), jnp.array([0.5, -0.05]))
    np.testing.assert_allclose(action, [1.0, -0.5], rtol=1e-6)


@pytest.mark.parametrize("name", IN_CONTEXT)
def test_a_state_comes_back_with_the_types_it_had(name):
    # A weak type that the step makes strong would have the whole program compiled a second time.
    experiment = recipes.build(recipes.find(name))
    parts = (experiment.learner, experiment.tx, experiment.meta_train)
    key = jax.random.key(0)
    before = jax.eval_shape(lambda key: experiment.init_state(key, *parts), key)
    step = experiment.make_step(*parts, meta_batch_size=2)
    after, _ = jax.eval_shape(step, before, key)

    def types(tree):
        return [(leaf.shape, leaf.dtype, leaf.weak_type) for leaf in jax.tree.leaves(tree)]

    assert types(after) == types(before)
