"""Fields of a recipe and run folders from a stranger: one line and a status, never a traceback."""

import contextlib
import dataclasses
import io
import json
import os
import shutil
import sys
import warnings

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxmeta import experiments, recipes, runs
from jaxmeta.command import cli
from jaxmeta.runs import read_metrics
from jaxmeta.runs.checkpoints import Checkpoints, newest_record
from jaxmeta.runs.folder import read_seconds
from jaxmeta.training import init_state

NAMES = [
    "sinusoid-maml",
    "sinusoid-reptile",
    "quadratic-learned-optimizer",
    "glyphs-maml-plus-plus-5w1s",
    "glyphs-cavia-5w1s",
    "omniglot-prototypical-20w1s",
    "gaussian-process-conditional",
]
NUMBERS = [
    "2147483647",
    "-1",
    "0",
    "1",
    "2",
    "3",
    "7",
    "1000000",
    "9223372036854775808",
    "1" + "0" * 400,
]
FLOATS = ["nan", "inf", "-inf", "-0.0", "1e308", "1e-320", "0.5"]
WORDS = ["None", "True", "", "x", "adam", "no-such", "1,2", "[]", "0 0", "\x00", "é" * 50, "--"]
VALUES = st.one_of(st.sampled_from(NUMBERS + FLOATS + WORDS), st.text(max_size=6))


def flags(name):
    recipe = recipes.find(name)
    found = []
    for part in (recipe.task, recipe.net, recipe.learner, recipe.outer, recipe):
        for field in dataclasses.fields(part):
            if not dataclasses.is_dataclass(getattr(part, field.name)):
                found.append("--" + field.name.replace("_", "-"))
    return found


class _Begun(Exception):
    """All checks have passed, and the run would begin to compute."""


def status_of(*arguments):
    """The command's exit status; anything but an exit is a failure of the test."""
    out, errors = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(errors),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        try:
            cli.main(arguments)
            status = 0
        except SystemExit as end:
            status = end.code
        except _Begun:
            status = "begun"
    assert "Traceback" not in errors.getvalue()
    if status == 2:
        assert errors.getvalue().strip(), arguments
    return status


@pytest.fixture
def up_to_the_first_step(monkeypatch, small_images):
    """`jaxmeta train` as it is, up to where the run folder would be opened."""

    def begun(*arguments, **settings):
        raise _Begun

    monkeypatch.setattr(experiments, "use_all_cores", lambda: None)
    loop = sys.modules["jaxmeta.runs.fit"]  # The function has the name of its module.
    monkeypatch.setattr(loop, "RunFolder", begun)
    run = sys.modules["jaxmeta.runs.run"]
    build = run.build

    def shapes(key, learner, tx, sample):
        return jax.eval_shape(lambda key: learner.init(key, sample(key)), key)

    # Shapes in place of numbers: a net of a million columns costs nothing to refuse or to take.
    monkeypatch.setattr(run, "build", lambda recipe: build(recipe)._replace(init_state=shapes))


@pytest.mark.parametrize("name", NAMES)
def test_fields_of_a_recipe(name, up_to_the_first_step, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    @settings(max_examples=max(settings().max_examples // 10, 1))
    @given(st.lists(st.tuples(st.sampled_from(flags(name)), VALUES), min_size=1, max_size=2))
    def check(fields):
        words = [word for field in fields for word in field]
        assert status_of("train", name, "--run-dir", "run", *words) in (2, "begun")
        assert not os.listdir(tmp_path)

    check()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small whole run, with its evaluation."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    short = ("--steps", "4", "--steps-per-call", "1", "--validate-every", "2", "--hidden", "4")
    episodes = ("--validation-episodes", "2", "--test-episodes", "2", "--curve-episodes", "2")
    few = ("--meta-batch-size", "2", "--test-inner-steps", "1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiments, "use_all_cores", lambda: None)
        cli.main(["train", "sinusoid-maml", "--run-dir", str(folder), *short, *episodes, *few])
    return folder


JSONS = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
FILES = ["config.json", "metrics.jsonl", "time.json", "evaluation.json"]


def changed(text, place, change):
    """A file's content with one JSON value or some bytes put in at a place."""
    content = text.encode()
    cut = int(place * len(content))
    if isinstance(change, bytes):
        return content[:cut] + change
    lines = text.splitlines()
    value = json.loads(text if lines[0] == "{" else lines[0])
    keys = list(value)
    value[keys[int(place * (len(keys) - 1))]] = change
    return json.dumps(value).encode()


@given(
    st.sampled_from(FILES),
    st.floats(0, 1),
    st.one_of(st.binary(max_size=20), JSONS),
    st.sampled_from(["train", "evaluate", "plot", "replay"]),
)
def test_files_of_a_run_folder(run, tmp_path_factory, file, place, change, command):
    """Read by each command, up to where it would compute."""
    folder = tmp_path_factory.mktemp("copy") / "run"
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("checkpoints", "*.png", "events"))
    text = (run / file).read_text()
    (folder / file).write_bytes(changed(text, place, change))

    def begun(*arguments, **settings):
        raise _Begun

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(experiments, "use_all_cores", lambda: None)
        patch.setattr("jaxmeta.runs.run.fit", begun)
        patch.setattr("jaxmeta.runs.meta_test.load_best", begun)
        patch.setattr("jaxmeta.runs.replay.build", begun)
        patch.setattr("jaxmeta.plots.draw_runs", begun)
        words = {
            "train": ["train", "sinusoid-maml", "--resume", "--run-dir", str(folder)],
            "replay": ["replay", str(folder), "--step", "1"],
        }.get(command, [command, str(folder)])
        assert status_of(*words) in (2, "begun")
    assert all(np.isfinite(list(record.values())).all() for record in read_metrics(folder))
    assert read_seconds(folder) is None or np.isfinite(read_seconds(folder))
    shutil.rmtree(folder.parent)


def like(folder):
    experiment = experiments.build(runs.read_config(folder)[1])
    state = jax.eval_shape(
        lambda key: init_state(key, experiment.learner, experiment.tx, experiment.meta_train),
        jax.random.key(0),
    )
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), state)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # See cli.main.
def test_checkpoints_of_a_run_folder(run, tmp_path_factory):
    """Any file of a checkpoint replaced: the state is the saved one of a step, or none."""
    expected = {}
    shape = like(run)
    for step in (2, 4):
        found = Checkpoints(run).before(step, shape)
        expected[found.step] = [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(found.state)]
    names = sorted(
        path.relative_to(run) for path in run.glob("checkpoints/last/**/*") if path.is_file()
    )

    @settings(max_examples=max(settings().max_examples // 5, 1))
    @given(
        st.sampled_from(names),
        st.one_of(st.none(), st.binary(max_size=200), st.floats(0, 1)),
        st.sampled_from(["file", "folder", "link", "loop"]),
    )
    def check(name, content, kind):
        folder = tmp_path_factory.mktemp("copy") / "run"
        shutil.copytree(run, folder, ignore=shutil.ignore_patterns("*.png", "events"))
        path = folder / name
        before = path.read_bytes()
        path.unlink()
        if kind == "folder":
            path.mkdir()
        elif kind == "link":
            path.symlink_to("/dev/null")
        elif kind == "loop":
            path.symlink_to(path)
        elif isinstance(content, float):
            path.write_bytes(before[: int(content * len(before))])
        elif content is not None:
            path.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = Checkpoints(folder).resume(shape)
        if found:
            arrays = [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(found.state)]
            assert arrays == expected[found.step]
        assert isinstance(newest_record(folder), dict)
        shutil.rmtree(folder.parent)

    check()


def test_a_run_folder_that_is_a_link_or_a_file(tmp_path, run, monkeypatch):
    monkeypatch.setattr(experiments, "use_all_cores", lambda: None)
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    for name in ("file", "loop", "nowhere"):
        for command in ("evaluate", "plot"):
            assert status_of(command, str(tmp_path / name)) == 2
    assert status_of("train", "sinusoid-maml", "--run-dir", str(tmp_path / "file")) == 2
    assert (tmp_path / "file").read_text() == "not a folder"
