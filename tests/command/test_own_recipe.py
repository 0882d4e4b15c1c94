"""A recipe from a user's file, with an own learner, net and arrays: docs/own_recipe.md."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from jaxmeta import experiments, runs
from jaxmeta.command import cli
from jaxmeta.experiments import own

PAGE = Path(__file__).parents[2] / "docs" / "own_recipe.md"
SHORT = (
    *("--steps", "40", "--steps-per-call", "20", "--validate-every", "20"),
    *("--validation-episodes", "4", "--test-episodes", "20", "--net.width", "8"),
)


@pytest.fixture(autouse=True)
def a_process_of_its_own(monkeypatch):
    """JAX has started already, and no file was named to this process yet."""
    monkeypatch.setattr(experiments, "use_all_cores", lambda: None)
    monkeypatch.setattr(own, "_FILES", {})
    monkeypatch.setattr(own, "_RECIPES", [])


@pytest.fixture(scope="module")
def source():
    text = PAGE.read_text()
    return text.split('```python title="mine.py"\n')[1].split("```")[0]


@pytest.fixture(scope="module")
def trained(source, tmp_path_factory):
    """The file, and a run of it."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.py").write_text(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiments, "use_all_cores", lambda: None)
        cli.main(
            ["train", f"{folder / 'mine.py'}:recipe", "--run-dir", f"{folder / 'run'}", *SHORT]
        )
    return folder


@pytest.fixture
def mine(trained, tmp_path):
    """A copy of both to change; the file stays the one that was trained with."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


def test_the_run_says_what_it_is_made_of(trained, source):
    config = json.loads((trained / "run" / "config.json").read_text())
    assert config["recipe"] == "mine"
    assert config["code"]["file"] == str(trained / "mine.py")
    assert config["code"]["attribute"] == "recipe" and len(config["code"]["sha256"]) == 64
    fields = config["fields"]
    assert fields["net"] == {"type": "own:Wide", "width": 8}
    assert fields["learner"]["type"] == "own:ClassMeans"
    assert fields["task"]["type"] == "Images"
    assert fields["task"]["dataset"]["type"] == "Splits"
    (copy,) = (trained / "run" / "code").iterdir()
    assert copy.read_text() == source and copy.name == f"mine-{config['code']['sha256'][:8]}.py"


def test_it_learns(trained):
    found = json.loads((trained / "run" / "evaluation.json").read_text())
    assert found["recipe"] == "mine" and found["metric"] == "accuracy"
    assert found["inductive"]["mean"] > 0.9  # Of five classes, each a pattern with noise.


def test_it_is_evaluated_and_drawn(mine, capsys):
    run, code = str(mine / "run"), ("--code", str(mine / "mine.py"))
    before = json.loads((mine / "run" / "evaluation.json").read_text())
    (mine / "run" / "evaluation.json").unlink()
    cli.main(["evaluate", run, *code])
    after = json.loads((mine / "run" / "evaluation.json").read_text())
    assert after["inductive"] == before["inductive"]
    (mine / "run" / "curves.png").unlink()
    cli.main(["plot", run, *code])
    assert (mine / "run" / "curves.png").stat().st_size > 10_000
    assert (mine / "run" / "episode.png").stat().st_size > 10_000
    cli.main(["replay", run, "--step", "30", *code])
    assert "from the checkpoint of step 20" in capsys.readouterr().out
    cli.main(["export", run, *code, "--out", str(mine / "mine.zip")])
    assert (mine / "mine.zip").stat().st_size > 1000
    assert "needs a learner that adapts the weights" in refused(capsys, "analyse", run, *code)


def test_it_goes_on(mine, capsys):
    command = ["train", f"{mine / 'mine.py'}:recipe", "--run-dir", str(mine / "run"), *SHORT]
    assert "already holds a run" in refused(capsys, *command)
    error = refused(capsys, *command, "--resume", "--temperature", "0.5")
    assert "learner.temperature is 0.5, was 1.0" in error
    cli.main([*command, "--steps", "60", "--resume"])
    assert json.loads((mine / "run" / "evaluation.json").read_text())["steps_trained"] == 60


@pytest.mark.parametrize("command", ["evaluate", "plot", "replay", "analyse", "export"])
def test_a_run_folder_executes_nothing_by_itself(mine, command, capsys):
    """The folder of a stranger: neither the file that it names nor the copy in it is run."""
    mark = mine / "executed"
    (copy,) = (mine / "run" / "code").iterdir()
    for file in (copy, mine / "mine.py"):
        file.write_text(f"open({str(mark)!r}, 'w')\n")
    words = {"replay": ["--step", "0"]}.get(command, [])
    error = refused(capsys, command, str(mine / "run"), *words)
    assert "has to be executed to read the run" in error and f"add `--code {copy}`" in error
    assert not mark.exists()
    # Another file than that of the run is refused before it is executed, too.
    error = refused(capsys, command, str(mine / "run"), *words, "--code", str(mine / "mine.py"))
    assert "are not those of that file" in error and not mark.exists()


def test_the_copy_serves_when_the_original_has_gone(mine, capsys):
    (mine / "mine.py").unlink()
    (copy,) = (mine / "run" / "code").iterdir()
    cli.main(["evaluate", str(mine / "run"), "--n-episodes", "3", f"--code={copy}"])
    assert "evaluation-3-episodes.json" in capsys.readouterr().out


def test_another_file_does_not_go_on_with_the_run(mine, capsys):
    changed = (mine / "mine.py").read_text().replace("-temperature", "-2 * temperature")
    (mine / "mine.py").write_text(changed)
    command = ["train", f"{mine / 'mine.py'}", "--run-dir", str(mine / "run"), *SHORT]
    error = refused(capsys, *command, "--steps", "60", "--resume")
    assert "are not those of that file" in error


@pytest.mark.parametrize(
    "text, name, message",
    [
        ("x = 1 +", "mine.py", "mine.py cannot be executed, line 1: SyntaxError"),
        (
            "\nx = nothing",
            "mine.py",
            "mine.py cannot be executed, line 2: NameError: name 'nothing'",
        ),
        ("x = 1", "mine.py:recipe", "Recipe called 'recipe'; it holds none"),
        (None, "mine.py", "is not there: give a Python file, such as mine.py:recipe"),
    ],
)
def test_a_file_without_a_recipe(text, name, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("mine.py").write_text(text)
    assert message in refused(capsys, "train", name)


def test_a_net_for_other_pictures_is_refused_before_anything_begins(source, tmp_path, capsys):
    (tmp_path / "mine.py").write_text(source.replace("8, 8, 1", "9, 9, 1"))
    command = ["train", f"{tmp_path / 'mine.py'}", "--run-dir", str(tmp_path / "run")]
    error = refused(capsys, *command)
    assert "Wide does not take the inputs of Images, which have the shape [9, 9, 1]" in error
    assert "64" in error and "81" in error and not (tmp_path / "run").exists()


def test_a_part_that_lacks_what_is_asked_of_it():
    recipe = experiments.Recipe(task=object(), net=object(), learner=object())
    with pytest.raises(TypeError, match=r"object has no acts, .* inherit from .*\.Domain"):
        experiments.build(recipe)


def test_from_python(source, tmp_path):
    """Without a file: this process reads the run, another one after it was given the recipe."""
    (tmp_path / "mine.py").write_text(source)
    recipe = own.load(f"{tmp_path / 'mine.py'}").recipe
    outer = dataclasses.replace(recipe.outer, steps=2, steps_per_call=1, validate_every=1)
    recipe = dataclasses.replace(recipe, outer=outer, test_episodes=2)
    runs.train("mine", recipe, tmp_path / "run")
    assert runs.read_config(tmp_path / "run")[1] is not None
    own._RECIPES.clear()
    with pytest.raises(ValueError, match=r"trained from Python .* call `jaxmeta.runs.allow"):
        runs.read_config(tmp_path / "run")
    images = recipe.task.dataset.meta_train.images
    images[0] ^= 1
    runs.allow(recipe)
    with pytest.raises(ValueError, match="dataset holds other arrays than the run was made with"):
        runs.read_config(tmp_path / "run")
    images[0] ^= 1
    assert runs.read_config(tmp_path / "run") == ("mine", recipe)
