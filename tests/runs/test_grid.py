"""Grids of seeds and values: one program or in turn, resumed, and the table at the end."""

import csv
import dataclasses
import json

import jax
import numpy as np
import pytest
from scipy import stats

from jaxmeta import experiments, plots, recipes, runs
from jaxmeta.command import cli
from jaxmeta.experiments.domains.regression import Sinusoid
from jaxmeta.experiments.methods.gradient import Anil, Cavia, Maml, MamlPlusPlus, MetaSgd
from jaxmeta.experiments.nets import Mlp
from jaxmeta.experiments.outer import Outer
from jaxmeta.runs import together
from jaxmeta.runs.checkpoints import Checkpoints
from jaxmeta.runs.run import TRAINING, load_best, seed_key
from jaxmeta.runs.sweep import cells, with_field

OUTER = Outer(
    steps=20, meta_batch_size=2, steps_per_call=5, validate_every=10, validation_episodes=4
)
NAME = "sinusoid-maml"
RECIPE = dataclasses.replace(
    recipes.find(NAME),
    net=Mlp(hidden=(8,)),
    learner=Maml(0.01, 1, 1),
    outer=OUTER,
    test_episodes=4,
    curve_episodes=2,
)
SWEEP = ("learner.inner_lr=0.01,0.05",)


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """Two seeds and two rates, as one program."""
    folder = tmp_path_factory.mktemp("grid")
    lines = []
    found = runs.train_grid(NAME, RECIPE, folder, seeds=[0, 3], sweep=SWEEP, report=lines.append)
    return folder, found, lines


def last_params(folder):
    """The parameters after the last step."""
    recipe = runs.read_config(folder)[1]
    experiment = experiments.build(recipe)
    parts = experiment.learner, experiment.tx, experiment.meta_train
    like = experiment.init_state(jax.random.key(0), *parts)
    return Checkpoints(folder).restore_last(like).params


def test_one_program_gives_what_runs_in_turn_give(grid, tmp_path):
    folder, _, lines = grid
    assert len([line for line in lines if line.startswith("training ")]) == 1
    for cell in cells(RECIPE, folder, seeds=[0, 3], sweep=SWEEP):
        alone = tmp_path / cell.folder.name
        fitted = runs.train(NAME, cell.recipe, alone)
        assert runs.read_config(cell.folder) == runs.read_config(alone)
        for one, other in zip(
            jax.tree.leaves(fitted.state.params),
            jax.tree.leaves(last_params(cell.folder)),
            strict=True,
        ):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
        records, others = runs.read_metrics(alone), runs.read_metrics(cell.folder)
        assert [record.keys() for record in records] == [record.keys() for record in others]
        for record, other in zip(records, others, strict=True):
            np.testing.assert_allclose(list(record.values()), list(other.values()), rtol=1e-3)
        assert (load_best(alone, cell.recipe).step, 20) == load_best(cell.folder, cell.recipe)[3:]


@pytest.mark.parametrize(
    "learner, outer",
    [
        (Anil(0.01, 1, 1), {"schedule": "cosine"}),
        (MetaSgd(0.01, 1, 1), {"schedule": "linear", "warm_up": 2}),
        (MamlPlusPlus(0.01, 2, 2), {"schedule": "halving", "clip": 1.0}),
        (Cavia(4, 0.1, 1, 1), {"optimiser": "sgd"}),
    ],
    ids=lambda part: type(part).__name__ if dataclasses.is_dataclass(part) else "",
)
def test_the_fields_that_one_program_takes(learner, outer):
    recipe = dataclasses.replace(
        RECIPE, learner=learner, outer=dataclasses.replace(OUTER, **outer), task=Sinusoid(2, 2)
    )
    paths = together.traced_paths(recipe)
    assert paths == ("learner.inner_lr", "outer.outer_lr")
    program = together._Program(recipe, recipe.task.samples(), paths)
    values = jax.numpy.array([0.01, 0.1]), jax.numpy.array([1e-3, 1e-2])
    keys = jax.random.split(jax.random.key(1))
    state = program.init(values, keys)
    for _ in range(2):
        state, info = program.step_of(2)(values, state, keys)
    for number in range(2):
        there = recipe
        for path, column in zip(paths, values, strict=True):
            there = with_field(there, path, float(column[number]))
        alone = experiments.build(there)
        parts = alone.learner, alone.tx, alone.meta_train
        step = alone.make_step(*parts, meta_batch_size=2, steps_per_call=2)
        expected = alone.init_state(keys[number], *parts)
        for _ in range(2):
            expected, last = step(expected, keys[number])
        np.testing.assert_allclose(info.loss[number], last.loss, rtol=1e-4)
        for one, other in zip(
            jax.tree.leaves(expected.params), jax.tree.leaves(state.params), strict=True
        ):
            np.testing.assert_allclose(one, other[number], rtol=1e-4, atol=1e-6)


def test_convolutions_agents_and_other_fields_train_in_turn():
    assert together.traced_paths(recipes.find("glyphs-maml-5w1s")) == ()
    assert together.traced_paths(recipes.find("bandit-rl2-5a10")) == ()
    assert together.traced_paths(recipes.find("sinusoid-reptile")) == ("outer.outer_lr",)
    grid = cells(RECIPE, "g", seeds=[0, 1], sweep=["learner.inner_steps=1,2"])
    groups = [[cell.folder.name for cell in group] for group in runs.grid._groups(grid)]
    assert groups == [[f"inner_steps={steps}_seed={seed}" for seed in (0, 1)] for steps in (1, 2)]


def test_the_table_is_that_of_the_runs(grid):
    folder, found, _ = grid
    content = json.loads((folder / "grid.json").read_text())
    assert found.is_complete and found.metric == "mean squared error"
    for setting, written, rate in zip(
        found.settings, content["settings"], ("0.01", "0.05"), strict=True
    ):
        assert written["values"] == {"learner.inner_lr": float(rate)}
        folders = [folder / f"inner_lr={rate}_seed={seed}" for seed in (0, 3)]
        values = [min(r["val"] for r in runs.read_metrics(path) if "val" in r) for path in folders]
        tests = [
            json.loads((path / "evaluation.json").read_text())["inductive"]["mean"]
            for path in folders
        ]
        for part, expected in ((setting.validation, values), (setting.test, tests)):
            np.testing.assert_allclose(part.each, expected)
            np.testing.assert_allclose(part.mean, np.mean(expected))
            low, high = stats.ttest_1samp(expected, 0).confidence_interval(0.95)
            np.testing.assert_allclose(
                [part.mean - part.interval, part.mean + part.interval], [low, high]
            )
    means = [setting.validation.mean for setting in found.settings]
    assert found.best == int(np.argmin(means)) == content["best"]
    rows = list(csv.DictReader((folder / "grid.csv").read_text().splitlines()))
    assert [row["is_best"] for row in rows] == [str(int(n == found.best)) for n in range(2)]
    assert float(rows[0]["test"]) == found.settings[0].test.mean
    records = [runs.read_metrics(folder / name) for name in found.settings[0].folders]
    steps, drawn, widths = plots.validation_over_seeds(records)
    assert steps.tolist() == [10, 20] and (widths > 0).all()
    lasts = [records[seed][-1]["val"] for seed in range(2)]
    np.testing.assert_allclose(drawn[-1], np.mean(lasts))


def test_the_best_is_that_of_validation_and_of_no_failed_run():
    def setting(validation, test, failed=()):
        over = runs.over_seeds
        return runs.Setting((), (0,), failed, ("",), over([validation]), over([test]))

    settings = [setting(0.5, 0.1), setting(0.4, 0.9), setting(0.1, 0.1, failed=(1,))]
    assert runs.grid._best(settings, float.__lt__) == 1
    nothing = runs.Setting((), (), (0,), (), None, None)
    assert runs.grid._best([nothing], float.__lt__) is None


def test_a_grid_is_resumed(grid, tmp_path, monkeypatch):
    """Stopped half-way and resumed it ends with the same bits; what has ended is left alone."""
    folder, _, _ = grid
    words = {"seeds": [0, 3], "sweep": SWEEP}
    asked = []

    class Stopped(together.Interruption):
        @property
        def asked(self):
            asked.append(1)
            return len(asked) > 1

        @asked.setter
        def asked(self, value):
            pass

    with monkeypatch.context() as patch:
        patch.setattr(together, "Interruption", Stopped)
        found = runs.train_grid(NAME, RECIPE, tmp_path, **words)
    assert not found.is_complete and not (tmp_path / "grid.json").exists()
    steps = {Checkpoints(path).last_step() for path in tmp_path.iterdir()}
    assert len(steps) == 1 and 0 < steps.pop() < 20
    with pytest.raises(ValueError, match="already holds a run: resume the grid"):
        runs.train_grid(NAME, RECIPE, tmp_path, **words)
    lines = []
    found = runs.train_grid(NAME, RECIPE, tmp_path, **words, resume=True, report=lines.append)
    assert found.is_complete and len(lines) == 1
    for path in folder.glob("inner_lr*"):
        for one, other in zip(
            jax.tree.leaves(last_params(path)),
            jax.tree.leaves(last_params(tmp_path / path.name)),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)
        assert runs.read_metrics(path) == runs.read_metrics(tmp_path / path.name)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/evaluation.json")}
    lines.clear()
    more = {"seeds": [0, 3], "sweep": ("learner.inner_lr=0.01,0.05,0.02",)}
    found = runs.train_grid(NAME, RECIPE, tmp_path, **more, resume=True, report=lines.append)
    assert lines[0] == "4 of 6 runs have ended already." and "inner_lr=0.02_seed=3" in lines[1]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(found.settings) == 3


def test_a_run_that_fails_does_not_stop_the_others(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(experiments, "use_all_cores", lambda: None)  # JAX has started already.
    monkeypatch.setattr(recipes.catalogue, "ALL", {NAME: RECIPE})
    monkeypatch.setattr(cli, "keep_programs", lambda: None)
    words = ["--sweep", "learner.inner_lr=0.01,1e30", "--run-dir", str(tmp_path)]
    cli.main(["train", NAME, *words])
    printed = capsys.readouterr().out
    assert "inner_lr=1e+30_seed=0 has failed: the loss or meta-gradient of step" in printed
    assert "0, 1 failed" in printed and "best by validation: learner.inner_lr 0.01" in printed
    assert (tmp_path / "inner_lr=1e+30_seed=0" / "failure" / "failure.json").exists()
    assert (tmp_path / "grid.png").stat().st_size > 10_000
    content = json.loads((tmp_path / "grid.json").read_text())
    assert [setting["failed"] for setting in content["settings"]] == [[], [0]]
    assert content["settings"][0]["validation"]["interval"] is None  # One seed has none.


@pytest.mark.parametrize(
    "words, message",
    [
        ({"sweep": ["learner.inner_lr"]}, "sweep must be FIELD=VALUE,VALUE"),
        ({"sweep": ["learner.lr=1"]}, r"learner.lr is no field: there is no 'lr'; .* inner_lr"),
        ({"sweep": ["provenance.paper=x"]}, "provenance.paper is no field"),
        ({"sweep": ["learner.inner_lr=fast"]}, "learner.inner_lr must be float, got 'fast'"),
        ({"sweep": ["outer.seed=1,2"]}, "give --seeds"),
        ({"sweep": ["outer.steps=1,1"]}, "must be given once"),
        ({"sweep": ["outer.steps=1", "outer.steps=2"]}, "must be given once"),
        ({"seeds": [1, 1]}, "must be given once"),
    ],
)
def test_what_is_no_grid(words, message):
    with pytest.raises(ValueError, match=message):
        cells(RECIPE, "g", **words)


def test_values_of_every_kind():
    sweep = ["net.hidden=[8],[8,8]", "outer.schedule=constant,cosine", "outer.clip=None,1"]
    grid = cells(RECIPE, "g", sweep=[*sweep, "learner.transductive=True"])
    assert len(grid) == 8 and grid[-1].recipe.net.hidden == (8, 8)
    assert grid[-1].recipe.outer.clip == 1.0 and grid[0].recipe.outer.clip is None
    assert grid[-1].folder.name == "hidden=8-8_schedule=cosine_clip=1.0_transductive=True_seed=0"
    assert grid[0].recipe.learner.transductive is True
    assert seed_key(grid[0].recipe, TRAINING).shape == ()
