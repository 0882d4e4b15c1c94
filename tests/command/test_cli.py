import dataclasses
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import jaxmeta
from jaxmeta import experiments, recipes, runs
from jaxmeta.command import cli, train
from jaxmeta.command.flags import flags_of
from jaxmeta.command.program_cache import keep_programs
from jaxmeta.runs import read_metrics

GLYPHS_METRIC = {
    *("glyphs-prototypical-5w1s", "glyphs-matching-5w1s", "glyphs-matching-full-context-5w1s"),
    *("glyphs-ridge-5w1s", "glyphs-siamese-5w1s", "glyphs-relation-5w1s"),
}
SHORT = (
    *("--steps", "40", "--steps-per-call", "10", "--validate-every", "20"),
    *("--validation-episodes", "5", "--test-episodes", "10", "--curve-episodes", "5"),
    *("--hidden", "8", "--meta-batch-size", "2", "--test-inner-steps", "2"),
)


def refused(capsys, *arguments):
    """Runs a command that must end with one line and status 2; the line."""
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


@pytest.fixture(autouse=True)
def one_device(monkeypatch):
    monkeypatch.setattr(experiments, "use_all_cores", lambda: None)  # JAX has started already.


def test_train_evaluate_and_plot(tmp_path, capsys):
    run = tmp_path / "run"
    cli.main(["train", "sinusoid-maml", "--run-dir", str(run), *SHORT])
    printed = capsys.readouterr().out
    assert "step 40/40: loss" in printed and "left" in printed
    assert "inductive" in printed and "MSE" in printed and "published" in printed
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert f"{evaluation['inductive']['mean']:.3f}" in printed
    assert (run / "curves.png").stat().st_size > 10_000

    assert "evaluation.json" in printed.splitlines()[-1]

    own = (run / "evaluation.json").read_bytes()
    cli.main(["evaluate", str(run), "--n-episodes", "7"])
    assert "evaluation-7-episodes.json" in capsys.readouterr().out
    assert json.loads((run / "evaluation-7-episodes.json").read_text())["n_episodes"] == 7
    cli.main(["evaluate", str(run), "--n-episodes", "1"])
    printed = capsys.readouterr().out
    assert "inductive" in printed and "±" not in printed.split("published")[0]
    text = (run / "evaluation-1-episodes.json").read_text()
    one = json.loads(text)
    assert "NaN" not in text  # Which JSON does not know.
    assert one["inductive"]["interval"] is None and one["untrained"]["interval"] is None
    assert {point["interval"] for point in one["adaptation"]["5-shot"]} == {None}
    assert (run / "evaluation.json").read_bytes() == own  # The run's own is never replaced.
    cli.main(["evaluate", str(run), "--n-episodes", "10"])  # As many as the recipe says: its own.
    assert (run / "evaluation.json").read_bytes() == own
    cli.main(["plot", str(run), str(run), "--out", str(tmp_path / "both.png")])
    assert (tmp_path / "both.png").exists()
    other = tmp_path / "other"
    shutil.copytree(run, other)
    (other / "evaluation.json").write_text(json.dumps(evaluation | {"metric": "accuracy"}))
    error = refused(capsys, "plot", str(run), str(other), "--out", str(tmp_path / "mixed.png"))
    assert "runs of one metric, got accuracy, mean squared error" in error


def test_ctrl_c_in_the_meta_test_says_how_to_test(tmp_path, capsys, monkeypatch):
    def interrupted(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "evaluate_run", interrupted)
    monkeypatch.setattr(runs, "train", lambda *a, **s: SimpleNamespace(is_complete=True))
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", "sinusoid-maml", "--run-dir", str(tmp_path / "run"), "--resume"])
    assert stop.value.code == 130
    printed = capsys.readouterr()
    assert "run does not exist yet: starting at step 0" in printed.out
    assert (
        f"Trained, not yet tested. To test:\n  jaxmeta evaluate {tmp_path / 'run'}" in printed.out
    )
    assert printed.err == "jaxmeta: stopped.\n"


def test_ctrl_c_ends_a_program_at_once():
    """Python does not take itself down: nothing registered for its exit is called."""
    code = (
        "import atexit, sys; from jaxmeta.command import cli, plot\n"
        "def stop(_): print('working'); raise KeyboardInterrupt\n"
        "plot.main = stop; atexit.register(print, 'taken down')\n"
        "sys.argv = ['jaxmeta', 'plot']; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 130
    assert (done.stdout, done.stderr) == ("working\n", "jaxmeta: stopped.\n")


def test_a_stopped_run_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    train = runs.train

    def stopped(*arguments, **settings):
        return train(*arguments, **settings)._replace(is_complete=False)

    monkeypatch.setattr(runs, "train", stopped)
    run = str(tmp_path / "run")
    with pytest.raises(SystemExit) as end:
        cli.main(["train", "sinusoid-maml", "--run-dir", run, *SHORT])
    assert end.value.code == 130
    printed = capsys.readouterr().out
    advice = printed.strip().splitlines()[-1].strip()
    assert advice == f"jaxmeta resume {run}"
    monkeypatch.setattr(runs, "train", train)
    cli.main(advice.split()[1:])
    assert "inductive" in capsys.readouterr().out


def test_compiled_programs_are_kept_in_the_users_folder(tmp_path, monkeypatch):
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    monkeypatch.setenv("JAXMETA_DATA", str(tmp_path))
    try:
        keep_programs()
        assert jax.config.jax_compilation_cache_dir == before[names[0]]  # JAX was told already.
        jax.config.update(names[0], None)
        keep_programs()
        assert Path(jax.config.jax_compilation_cache_dir).parent == tmp_path / "programs"
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def test_help_teaches(capsys):
    for arguments, words in (
        (["--help"], ["jaxmeta train RECIPE", "glyphs-maml-5w1s"]),
        (["train", "--help"], ["jaxmeta resume RUN", "--help-all"]),
        (
            ["train", "omniglot-maml-5w1s", "--help"],
            ["--inner-lr FLOAT", "Step size of the inner loop. (default: 2.0)", "--resume"],
        ),
        (["evaluate", "--help"], ["--n-episodes"]),
        (["plot", "--help"], ["--out"]),
    ):
        try:
            cli.main(arguments)
        except SystemExit as end:
            assert end.code == 0
        printed = " ".join(capsys.readouterr().out.replace("│", " ").split())
        for word in words:
            assert word in printed, (arguments, word)


@pytest.mark.slow
def test_analyse(tmp_path, capsys):
    run = tmp_path / "run"
    cli.main(["train", "sinusoid-maml", "--run-dir", str(run), *SHORT])
    cli.main(["analyse", str(run)])
    assert "finite differences" in capsys.readouterr().out
    found = json.loads((run / "analysis.json").read_text())
    trained = found["expansions"]["trained"]
    assert len(trained["coefficients"]) == len(trained["inner_lr"]) == 6
    assert found["check"]["relative_error"] < 1e-4
    assert (run / "analysis.png").stat().st_size > 20_000


def test_a_run_that_diverges_is_replayed(tmp_path, capsys):
    run = str(tmp_path / "run")
    error = refused(
        capsys, "train", "sinusoid-maml", "--run-dir", run, *SHORT, "--inner-lr", "1e30"
    )
    assert "of step 0 is not finite, first in task 0" in error
    assert error.rstrip().endswith("runs the step again with checks on.")
    cli.main(["replay", run, "--step", "0"])
    printed = capsys.readouterr().out
    assert f"step 0, from {run}/failure" in printed
    assert printed.count("<- not finite") == 2
    operation = printed.splitlines()[-1]
    assert "first operation that is not finite: invalid value" in operation
    assert "jaxmeta/" in operation
    assert "step must be in 0..39, got 40" in refused(capsys, "replay", run, "--step", "40")


def test_a_healthy_step_is_replayed_from_the_checkpoint_before(tmp_path, capsys):
    recipe = recipes.find("sinusoid-maml")
    recipe = dataclasses.replace(
        recipe,
        net=dataclasses.replace(recipe.net, hidden=(8,)),
        outer=dataclasses.replace(
            recipe.outer,
            **{"steps": 4, "steps_per_call": 1, "validate_every": 2, "meta_batch_size": 2},
            validation_episodes=5,
        ),
    )
    runs.train("sinusoid-maml", recipe, tmp_path)
    found = runs.replay_run(tmp_path, step=3)
    assert found.origin == "the checkpoint of step 2"
    assert found.task is None and found.operation is None
    loss = next(r["loss"] for r in read_metrics(tmp_path) if r["step"] == 4)
    np.testing.assert_allclose(found.tasks.loss.mean(), loss, rtol=1e-5)


def test_recipes_lists_all_in_two_lines_of_80_columns_each(capsys):
    cli.main(["recipes"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[::2]] == list(recipes.ALL)
    assert max(map(len, lines)) <= 80 and len(lines) == 2 * len(recipes.ALL)


def test_recipes_by_word_and_family(capsys):
    cli.main(["recipes", "Raghu"])  # Of the paper, too.
    found = [line.split()[0] for line in capsys.readouterr().out.splitlines()[::2]]
    assert "sinusoid-anil" in found and "sinusoid-maml" not in found
    cli.main(["recipes", "glyphs", "--family", "metric"])
    found = [line.split()[0] for line in capsys.readouterr().out.splitlines()[::2]]
    assert found == [name for name in recipes.ALL if name in GLYPHS_METRIC]
    cli.main(["recipes", "glyphs-fomaml-5w1s"])
    printed = " ".join(capsys.readouterr().out.split())
    assert recipes.find("glyphs-fomaml-5w1s").changes in printed
    families = {recipe.learner.family for recipe in recipes.ALL.values()}
    assert families == {"gradient", "metric", "memory", "hyper", "agents"}


def test_the_version(capsys):
    cli.main(["--version"])
    assert capsys.readouterr().out == f"jaxmeta {jaxmeta.__version__}\n"


def test_help_fits_two_screens(capsys, monkeypatch):
    """Of every recipe, at 80 columns; the rest of the fields is behind --help-all."""
    monkeypatch.setenv("COLUMNS", "80")
    for name in {type(recipe.learner): name for name, recipe in recipes.ALL.items()}.values():
        with pytest.raises(SystemExit):
            cli.main(["train", name, "--help"])
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) <= 50 and max(map(len, lines)) <= 80, name
        assert "--help-all" in " ".join(lines)


def test_every_field_is_explained_in_sentences():
    for name, recipe in recipes.ALL.items():
        for flag in flags_of(recipe):
            text = flag.text
            assert text and text[0].isupper() and text.endswith("."), (name, flag.path, text)


def test_a_flag_without_its_prefix():
    named = train.find("sinusoid-hypernetwork")
    recipe = train.train_options(named, ["--code_size=3", "--lr", "0.5"])[1]
    assert recipe.learner.encoder.code_size == 3 and recipe.outer.outer_lr == 0.5
    recipe = train.train_options(train.find("omniglot-ridge-5w1s"), ["--no-rotations"])[1]
    assert recipe.task.rotations is False


def test_a_flag_of_two_parts_needs_its_prefix():
    @dataclasses.dataclass(frozen=True)
    class Part:
        width: int = 3

    recipe = experiments.Recipe(task=Part(), net=Part(), learner=Part())
    for words, found in (
        (["--net.width", "4"], (3, 4, 3)),
        (["--task.width=5", "--learner.width", "6"], (5, 3, 6)),
    ):
        named = train.Named("mine", recipe)
        read = train.train_options(named, words)[1]
        assert (read.task.width, read.net.width, read.learner.width) == found
    with pytest.raises(ValueError, match=r"--width is a field of several parts: give --task.width"):
        train.train_options(named, ["--width", "4"])


def test_resume_needs_no_flags(tmp_path, capsys):
    run = tmp_path / "run"
    cli.main(["train", "sinusoid-maml", "--run-dir", str(run), "--quiet", *SHORT])
    printed = capsys.readouterr().out
    assert "validation" not in printed and "inductive" in printed
    cli.main(["resume", str(run), "--steps", "60"])
    assert "step 60/60: loss" in capsys.readouterr().out
    assert runs.read_config(run)[1].outer.steps == 60
    assert "outer.steps is 20, was 60" in refused(capsys, "resume", str(run), "--steps", "20")
    assert "holds no run" in refused(capsys, "resume", str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ["sing"],
            "unknown command 'sing'; one of analyse, evaluate, export, fit, plot, predict, "
            "recipes, replay, resume, train",
        ),
        (["train"], "name a recipe"),
        (["train", "maml"], "unknown recipe 'maml'"),
        (["train", "sinusoid-maml", "--inner-rate", "0.1"], "inner-rate"),
        (["train", "sinusoid-maml", "--inner-lr", "fast"], "fast"),
        (["train", "sinusoid-maml", "--k-shot", "0"], "k_shot must be >= 1, got 0"),
        (["train", "sinusoid-maml", "--inner-steps", "-1"], "inner_steps must be >= 0, got -1"),
        (["train", "sinusoid-maml", "--steps", "0"], "steps must be >= 1, got 0"),
        (["train", "sinusoid-maml", "--validate-every", "0"], "validate_every must be >= 1, got 0"),
        (["train", "bandit-rl2-5a10", "--validate-every", "0"], "validate_every must be >= 1"),
        (["train", "sinusoid-maml", "--validation-episodes", "0"], "validation_episodes must be"),
        (["train", "sinusoid-maml", "--steps-per-call", "0"], "steps_per_call must be >= 1, got 0"),
        (["train", "sinusoid-maml", "--test-episodes", "0"], "test_episodes must be >= 1, got 0"),
        (["train", "sinusoid-maml", "--curve-episodes", "-1"], "curve_episodes must be >= 1"),
        (["train", "sinusoid-maml", "--halve-every", "0"], "halve_every must be >= 1, got 0"),
        (["train", "sinusoid-maml", "--published", "9.99"], "--published"),
        (["train", "sinusoid-maml", "--paper", "mine"], "--paper"),
        (["train", "sinusoid-maml", "--changes", "none"], "--changes"),
        (["train", "sinusoid-maml", "--processes", "2"], "processes is of several processes"),
        (["train", "glyphs-maml-5w1s", "--data-dir", "here"], "data_dir must be None for glyphs"),
        (["train", "glyphs-maml-5w1s", "--split", "random"], "split is of Omniglot; glyphs has"),
        (["train", "glyphs-maml-5w1s", "--dataset", "mnist"], "mnist"),
        (["train", "glyphs-maml-5w1s", "--n-way", "9999"], "n_way must be at most"),
        (["train", "glyphs-maml-5w1s", "--n-way", "20"], "got 5 in meta_train and 20 in meta_val"),
        (["train", "glyphs-snail-5w1s", "--train-n-way", "7"], "got 7 in meta_train and 5 in meta"),
        (["train", "glyphs-maml-5w1s", "--q-queries", "20"], "must have k_shot + q_queries = 21"),
        (["train", "omniglot-maml-5w1s", "--data-dir", "nowhere"], "images_background.zip"),
        (["evaluate", "nowhere"], "nowhere holds no run"),
        (["evaluate"], "run"),
        (["plot", "nowhere"], "nowhere holds no run"),
        (["plot"], "name at least one run folder"),
        (["plot", "nowhere", "--episode", "-1"], "episode must be >= 0, got -1"),
        (["train", "sinusoid-maml", "--steps", "-5"], "steps must be >= 1, got -5"),
        (["recipes", "no-such"], "no recipe has 'no-such' in its name or its paper"),
    ],
    ids=" ".join,
)
def test_mistakes_are_said_in_a_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, *arguments)
    assert not list(tmp_path.glob("runs/**/*"))  # Nothing is begun.


def test_a_corrupt_zip_is_named(tmp_path, capsys):
    for part in ("images_background", "images_evaluation"):
        with zipfile.ZipFile(tmp_path / f"{part}.zip", "w") as file:
            file.writestr(f"{part}/Greek/character01/0001_01.png", b"no image" * 100)
    whole = tmp_path / "images_evaluation.zip"
    whole.write_bytes(whole.read_bytes()[:150])
    error = refused(
        capsys, "train", "omniglot-maml-5w1s", "--data-dir", str(tmp_path), "--run-dir", "unused"
    )
    assert "images_background.zip" in error or "images_evaluation.zip is a damaged zip" in error


def test_a_run_that_is_there_loses_nothing(tmp_path, capsys):
    run = tmp_path / "run"
    command = ["train", "sinusoid-maml", "--run-dir", str(run), *SHORT]
    cli.main(command)
    files = {
        path: path.read_bytes()
        for path in run.rglob("*")
        if path.is_file() and "events" not in path.parts
    }
    assert "already holds a run" in refused(capsys, *command)
    assert "other fields" in refused(capsys, *command, "--resume", "--inner-lr", "0.5")
    assert "must be >= 1" in refused(capsys, "evaluate", str(run), "--n-episodes", "0")
    assert {path: path.read_bytes() for path in files} == files


def test_a_short_try_ends_with_a_result_and_may_go_on(tmp_path, capsys):
    """Fewer steps than a call has and than lie between validations; then more of them."""
    run = tmp_path / "run"
    few = ("--steps", "3", "--steps-per-call", "500", "--validate-every", "500")
    command = ["train", "sinusoid-maml", "--run-dir", str(run), *SHORT]
    cli.main([*command, *few])
    assert "step 3" in capsys.readouterr().out
    longer = [*few[:1], "6", *few[2:]]
    cli.main([*command, *longer, "--resume"])
    assert json.loads((run / "evaluation.json").read_text())["steps_trained"] == 6
    assert runs.read_config(run)[1].outer.steps == 6
    error = refused(capsys, *command, *few, "--resume")
    assert "outer.steps is 3, was 6" in error
    error = refused(capsys, *command, *longer, "--resume", "--inner-lr", "0.5", "--hidden", "9")
    assert "net.hidden is [9], was [8]" in error and "learner.inner_lr is 0.5, was" in error


def test_the_installed_command_has_the_exit_status(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "jaxmeta", "train", "no-such-recipe"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("jaxmeta: unknown recipe 'no-such-recipe'")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "name, flags",
    [
        (
            "omniglot-hypertransformer-20w1s",
            ["--learner.transformer-layers", "--task.unlabelled", "--net.width"],
        ),
        ("sinusoid-hypernetwork", ["--learner.generator-hidden", "--net.hidden"]),
        (
            "gaussian-process-conditional",
            ["--learner.least-sigma", "--task.most-k-shot", "--learner.encoder.code-size"],
        ),
    ],
)
def test_one_pass_learners_on_the_command_line(name, flags, capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", name, "--help-all"])
    printed = capsys.readouterr().out
    for flag in flags:
        assert flag in printed


@pytest.mark.parametrize("name", sorted(recipes.ALL))
def test_every_recipe_is_understood_with_none_of_its_fields_changed(name):
    assert train.train_options(train.find(name), [])[1] is recipes.find(name)
