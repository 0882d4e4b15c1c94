import dataclasses
import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta import experiments, recipes, runs
from jaxmeta.command import cli
from jaxmeta.experiments.build import _cores
from jaxmeta.experiments.fits import check_fits
from jaxmeta.recipes.agents import AGENTS

LEARNERS = sorted(recipes.ALL.keys() - AGENTS.keys())
KINDS = {  # one recipe for every combination of task, net and learner; the others are slow
    tuple(type(getattr(recipes.ALL[name], part)) for part in ("task", "net", "learner")): name
    for name in reversed(LEARNERS)
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in KINDS.values() else pytest.mark.slow)
        for name in LEARNERS
    ],
)
def test_every_recipe_builds_and_says_what_it_is(name, small_images):
    recipe = recipes.find(name)
    assert recipe.paper and recipe.published and recipe.changes
    experiment = experiments.build(recipe)
    check_fits(recipe, experiment)
    state = jax.eval_shape(
        lambda key: jaxmeta.init_state(
            key, experiment.learner, experiment.tx, experiment.meta_train
        ),
        jax.random.key(0),
    )
    shapes = jax.eval_shape(experiment.meta_train, jax.random.key(0))
    loss, outputs = jax.eval_shape(experiment.learner.loss, state.params, jax.random.key(0), shapes)
    if isinstance(shapes, jaxmeta.Stream):  # It has no support set to adapt to.
        assert loss.shape == () and outputs.shape == shapes.y.shape
        return
    assert loss.shape == () and outputs.shape == shapes.query.y.shape
    # What was trained can be evaluated: the same parameters, other counts.
    episode = jax.eval_shape(next(iter(experiment.meta_test.values())), jax.random.key(0))
    for learner in (experiment.at_test, experiment.after(1)):
        adapted = jax.eval_shape(learner.adapt, state.params, jax.random.key(0), episode.support)
        outputs = jax.eval_shape(learner.predict, state.params, adapted, episode.query.x)
        assert outputs.shape == episode.query.y.shape
    outer = recipe.outer
    assert outer.steps % outer.validate_every == outer.validate_every % outer.steps_per_call == 0


def test_an_unknown_recipe():
    with pytest.raises(ValueError, match=r"'sinusoid-mamll'; did you mean 'sinusoid-maml'\?"):
        recipes.find("sinusoid-mamll")


def rates(**fields):
    """The outer rate at every step of a run of 100, by the updates of a gradient of one."""
    outer = recipes.find("sinusoid-reptile").outer
    outer = dataclasses.replace(outer, steps=100, outer_lr=0.1, optimiser="sgd", **fields)
    tx = outer.build()
    state, updates = tx.init(jnp.zeros(())), []
    for _ in range(101):
        update, state = tx.update(jnp.ones(()), state)
        updates.append(-float(update))
    return np.array(updates)


@pytest.mark.parametrize(
    "schedule, expected",
    [
        ("constant", [0.1, 0.1, 0.1]),
        ("linear", [0.1, 0.05, 0.0]),
        ("cosine", [0.1, 0.05, 0.0]),
        ("halving", [0.1, 0.05, 0.025]),
    ],
)
def test_the_outer_rate_over_a_run(schedule, expected):
    found = rates(schedule=schedule, halve_every=50)
    np.testing.assert_allclose(found[[0, 50, 100]], expected, atol=1e-7)


def test_the_outer_rate_warms_up_first():
    found = rates(schedule="linear", warm_up=20)
    np.testing.assert_allclose(found[[0, 10, 20, 60, 100]], [0, 0.05, 0.1, 0.05, 0], atol=1e-7)
    for wrong in (-1, 100):
        with pytest.raises(ValueError, match=rf"warm_up must be .* \(100\), got {wrong}"):
            rates(warm_up=wrong)


def test_the_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 5, 6}, raising=False)
    assert _cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert _cores() == 7


def short(name, **outer):
    """A recipe cut to seconds."""
    recipe = recipes.find(name)
    return dataclasses.replace(
        recipe,
        net=dataclasses.replace(recipe.net, hidden=(8,)),
        learner=dataclasses.replace(recipe.learner, test_inner_steps=2),
        outer=dataclasses.replace(
            recipe.outer,
            **{
                "steps": 40,
                "meta_batch_size": 2,
                "steps_per_call": 10,
                "validate_every": 20,
                "validation_episodes": 5,
            }
            | outer,
        ),
        test_episodes=10,
        curve_episodes=10,
    )


def test_a_run_folder(tmp_path):
    recipe = short("sinusoid-maml")
    fitted = runs.train("sinusoid-maml", recipe, tmp_path)
    assert runs.read_config(tmp_path) == ("sinusoid-maml", recipe)
    results = runs.evaluate_run(tmp_path)
    assert json.loads((tmp_path / "evaluation.json").read_text()) == results
    assert results["steps_trained"] == 40 and results["step_of_best_validation"] in (20, 40)
    assert results["seed"] == 0 and results["versions"]["jax"] == jax.__version__
    assert list(results["adaptation"]) == ["5-shot", "10-shot", "20-shot"]
    points = results["adaptation"]["5-shot"]
    assert [point["inner_steps"] for point in points] == [0, 1, 2]
    # The curve's end is the main result, taken again from the parameters themselves.
    assert points[-1]["mean"] == results["inductive"]["mean"]
    experiment = experiments.build(recipe)
    again = jaxmeta.evaluate(
        experiment.at_test,
        fitted.params,
        experiment.meta_test["5-shot"],
        n_episodes=10,
        key=jax.random.fold_in(jax.random.key(0), 1),
        metric=jaxmeta.losses.squared_error,
    )
    assert again.mean == results["inductive"]["mean"]
    assert again.interval == results["inductive"]["interval"]
    assert "transductive" not in results and "log_loss" not in results["inductive"]


def test_a_run_is_resumed_with_its_own_fields_only(tmp_path):
    recipe = short("sinusoid-maml")
    runs.train("sinusoid-maml", recipe, tmp_path)
    other = short("sinusoid-maml", outer_lr=0.5)
    with pytest.raises(ValueError, match="holds a run of recipe 'sinusoid-maml' with other fields"):
        runs.train("sinusoid-maml", other, tmp_path, resume=True)
    with pytest.raises(ValueError, match="already holds a run of 40 steps"):
        runs.train("sinusoid-maml", recipe, tmp_path)
    reworded = dataclasses.replace(
        recipe, provenance=experiments.Provenance("a", experiments.Published.of("b"), "c")
    )
    runs.train("sinusoid-maml", reworded, tmp_path, resume=True)
    assert runs.read_config(tmp_path) == ("sinusoid-maml", recipe)


@pytest.mark.parametrize(
    "name, part, fields, message",
    [
        (
            "glyphs-maml-5w1s",
            "task",
            {"dataset": "mnist"},
            "dataset must be one of glyphs, omniglot, .*, got 'mnist'",
        ),
        (
            "glyphs-mann-5",
            "task",
            {"dataset": "mnist"},
            "dataset must be one of glyphs, omniglot, .*, got 'mnist'",
        ),
        ("glyphs-maml-5w1s", "task", {"data_dir": "here"}, "data_dir must be None for glyphs"),
        ("cifar-fs-hypertransformer-5w1s", "task", {"split": "random"}, "split is of Omniglot"),
        ("sinusoid-maml", "outer", {"optimiser": "adamw"}, "optimiser must be one of adam, sgd"),
        ("sinusoid-maml", "outer", {"schedule": "step"}, "schedule must be one of constant, .*"),
        ("sinusoid-maml", "learner", {"derivative": "third"}, "derivative must be one of reverse"),
        ("bandit-rl2-5a10", "net", {"memory": "rnn"}, "memory must be one of gru, lstm, snail"),
    ],
)
def test_a_word_that_is_no_choice_is_refused(name, part, fields, message, small_images):
    recipe = recipes.find(name)
    config = dataclasses.replace(getattr(recipe, part), **fields)
    with pytest.raises(ValueError, match=message):
        experiments.build(dataclasses.replace(recipe, **{part: config}))


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no run: there is no config\.json"):
        runs.read_config(tmp_path)
    (tmp_path / "config.json").write_text('{"recipe": ')
    with pytest.raises(ValueError, match="is not the config of a run"):
        runs.read_config(tmp_path)


def short_images(name):
    """A recipe on images cut to seconds."""
    recipe = recipes.find(name)
    return dataclasses.replace(
        recipe,
        task=dataclasses.replace(recipe.task, train_n_way=5, train_q_queries=1, q_queries=2),
        net=dataclasses.replace(recipe.net, width=2),
        outer=dataclasses.replace(
            recipe.outer, steps=2, steps_per_call=1, validate_every=2, validation_episodes=2
        ),
        test_episodes=3,
    )


def test_a_metric_run_at_another_setting_and_in_a_picture(
    tmp_path, small_images, capsys, monkeypatch
):
    name = "omniglot-matching-5w1s"
    runs.train(name, short_images(name), tmp_path)
    monkeypatch.setattr(experiments, "use_all_cores", lambda: None)  # JAX has started already.
    cli.main(["evaluate", str(tmp_path)])
    found = json.loads((tmp_path / "evaluation.json").read_text())["inductive"]
    error, log_loss = 100 * found["calibration_error"], found["log_loss"]
    expected = f"calibration error {error:.2f} %, log-loss {log_loss:.3f} nats"
    assert expected in capsys.readouterr().out
    results = runs.evaluate_run(tmp_path, n_way=20, k_shot=5, known=recipes.ALL)
    assert json.loads((tmp_path / "evaluation-20w5s.json").read_text()) == results
    assert results["setting"] == "20-way 5-shot" and "adaptation" not in results
    for row in ("inductive", "transductive", "untrained"):
        assert 0 <= results[row]["calibration_error"] <= 1 and results[row]["log_loss"] > 0
    assert "log_loss" not in results["raw_pixel_nearest_neighbour"]
    assert results["published"] == recipes.find("omniglot-matching-20w5s").published
    own = json.loads((tmp_path / "evaluation.json").read_text())
    assert own["setting"] == "5-way 1-shot"
    assert runs.evaluate_run(tmp_path, n_way=5, k_shot=1) == own
    runs.evaluate_run(tmp_path, n_way=20, n_episodes=2)
    both = json.loads((tmp_path / "evaluation-20w1s-2-episodes.json").read_text())
    assert both["setting"] == "20-way 1-shot" and both["n_episodes"] == 2
    assert both["published"] == "none at this setting"
    assert json.loads((tmp_path / "evaluation.json").read_text()) == own
    with pytest.raises(ValueError, match="n_way must be >= 1, got 0"):
        runs.evaluate_run(tmp_path, n_way=0)

    view = runs.episode_of_run(tmp_path, number=1)
    np.testing.assert_allclose(view.shares.sum(1), 1, rtol=1e-5)
    assert view.shares.shape == (10, 5) and view.projection.shape == (15, 2)
    assert 0 < view.explained <= 1
    # It is episode 1 of the evaluation.
    experiment = experiments.build(short_images(name))
    key = jax.random.split(jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 1), 1))[0]
    episode = experiment.meta_test["5-way 1-shot"](key)
    np.testing.assert_array_equal(view.episode.query.x, episode.query.x)
    # Distances between embeddings are kept as far as two components keep them.
    rows = view.projection - view.projection.mean(0)
    np.testing.assert_allclose(rows, view.projection, atol=1e-6)
    assert abs(rows[:, 0] @ rows[:, 1]) < 1e-6 * np.square(rows).sum()


def write_config(name, run_dir):
    """A run folder before its first checkpoint."""
    config = {"recipe": name, "fields": experiments.encode(recipes.find(name))}
    run_dir.mkdir(exist_ok=True)
    (run_dir / "config.json").write_text(json.dumps(config))


def test_what_cannot_be_tested_at_another_setting_or_drawn(tmp_path):
    for name in ("sinusoid-maml", "glyphs-maml-5w1s"):
        write_config(name, tmp_path / name)
    with pytest.raises(ValueError, match="n_way and k_shot are of image classification"):
        runs.evaluate_run(tmp_path / "sinusoid-maml", n_way=5)
    with pytest.raises(ValueError, match="an episode is drawn of images"):
        runs.episode_of_run(tmp_path / "sinusoid-maml")
    with pytest.raises(ValueError, match="n_way must be 5, as many classes as the net"):
        runs.evaluate_run(tmp_path / "glyphs-maml-5w1s", n_way=20)
    with pytest.raises(FileNotFoundError, match="holds no validated checkpoint yet"):
        runs.episode_of_run(tmp_path / "glyphs-maml-5w1s")


SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
REAL = Path(os.environ.get("JAXMETA_SHARED_DATA", SHARED)) / "omniglot"


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="the original zips are not here")
def test_omniglot_prototypical_leaves_the_floor_behind(tmp_path):
    recipe = recipes.find("omniglot-prototypical-5w1s")
    recipe = dataclasses.replace(
        recipe,
        task=dataclasses.replace(recipe.task, data_dir=str(REAL), train_n_way=20),
        net=dataclasses.replace(recipe.net, width=16),
        outer=dataclasses.replace(recipe.outer, steps=200, validate_every=100),
        test_episodes=200,
    )
    runs.train("omniglot-prototypical-5w1s", recipe, tmp_path)
    results = runs.evaluate_run(tmp_path)
    floor = results["raw_pixel_nearest_neighbour"]["mean"]
    assert results["inductive"]["mean"] > floor + 0.3 and 0.4 < floor < 0.5


def test_the_pretrained_baseline_is_the_mean_over_tasks():
    """No inner step: the loss is that of the net itself, on all tasks together."""
    experiment = experiments.build(recipes.find("sinusoid-pretrained"))
    key = jax.random.key(0)
    episode = experiment.meta_train(key)
    params = experiment.learner.init(key, episode)
    net = jaxmeta.networks.mlp(1, hidden=(40, 40))
    outputs = net.apply(params.net, episode.query.x)
    expected = optax.squared_error(outputs, episode.query.y).mean()
    np.testing.assert_allclose(
        experiment.learner.loss(params, key, episode)[0], expected, rtol=1e-6
    )


def tiny(name, **fields):
    recipe = recipes.find(name)
    outer = {"steps": 2, "meta_batch_size": 2, "steps_per_call": 1, "validate_every": 2}
    outer = dataclasses.replace(recipe.outer, **outer, validation_episodes=2, warm_up=0)
    return dataclasses.replace(recipe, outer=outer, test_episodes=4, **fields)


def test_a_run_of_a_neural_process(tmp_path):
    name = "gaussian-process-conditional"
    recipe = tiny(name, net=dataclasses.replace(recipes.find(name).net, hidden=(4,)))
    runs.train(name, recipe, tmp_path)
    results = runs.evaluate_run(tmp_path)
    assert json.loads((tmp_path / "evaluation.json").read_text()) == results
    assert results["setting"] == "3 to 10-shot" and "adaptation" not in results
    assert 0 < results["predictive"]["coverage_of_95_percent"]["mean"] <= 1
    assert np.isfinite(results["predictive"]["log_density"]["mean"])
    assert 0.2 < results["context_mean"]["mean"] < 3
    look = runs.look_run(tmp_path)
    assert look.weights == {} and look.attention == {}
    assert look.curve.mean.shape == look.curve.sigma.shape == (200,)
    assert look.curve.sigma.min() > 0.02
    cli.main(["plot", str(tmp_path)])
    assert (tmp_path / "task.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_run_of_a_hypertransformer(tmp_path, small_images):
    name = "omniglot-hypertransformer-20w1s-2-unlabelled"
    task = recipes.find(name).task
    task = dataclasses.replace(task, n_way=3, train_n_way=3, unlabelled=1)
    recipe = tiny(
        name,
        task=task,
        net=recipes.find(name).net.__class__(width=2),
        learner=dataclasses.replace(
            recipes.find(name).learner, shared_features=0, transformer_layers=1, trained_blocks=4
        ),
    )
    runs.train(name, recipe, tmp_path)
    look = runs.look_run(tmp_path)
    assert {key: maps.shape for key, maps in look.attention.items()} == {"head": (1, 3, 6)}
    assert look.labels.tolist() == [0, 1, 2, -1, -1, -1]
    assert {key: array.shape for key, array in look.weights.items()} == {
        "head": (20, 2, 3),
        "bias": (20, 3),
    }
    for maps in look.attention.values():
        assert maps.min() >= 0 and maps.sum(-1).max() <= 1


def test_a_look_at_a_learner_with_inner_steps(tmp_path):
    write_config("sinusoid-maml", tmp_path)
    assert runs.look_run(tmp_path) is None


def test_the_generated_net_is_pooled_and_flat():
    recipe = recipes.find("glyphs-hypertransformer-5w1s")
    with pytest.raises(ValueError, match="strided and spatial_mean must be False"):
        experiments.build(dataclasses.replace(recipe, net=recipes.find("glyphs-maml-5w1s").net))
