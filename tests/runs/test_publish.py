"""Results that anyone can test again: parameters in one file, in place of checkpoints."""

import dataclasses
import hashlib
import json
import shutil

import numpy as np
import pytest

from jaxmeta import experiments, recipes, runs, trees
from jaxmeta.command import cli
from jaxmeta.experiments.methods.gradient import Maml
from jaxmeta.experiments.nets import Mlp
from jaxmeta.experiments.outer import Outer
from jaxmeta.runs.run import load_best

OUTER = Outer(steps=4, meta_batch_size=2, validate_every=2, validation_episodes=2)
NAME = "sinusoid-maml"
RECIPE = dataclasses.replace(
    recipes.find(NAME),
    net=Mlp(hidden=(8,)),
    learner=Maml(0.01, 1, 1),
    outer=OUTER,
    test_episodes=4,
    curve_episodes=2,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("publish") / "run"
    runs.train(NAME, RECIPE, folder)
    return folder


@pytest.fixture
def published(run, tmp_path):
    runs.evaluate_run(run)
    runs.publish(run, tmp_path / "results")
    return tmp_path / "results"


def test_a_run_that_is_not_evaluated_is_not_published(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "evaluation.json").unlink(missing_ok=True)
    with pytest.raises(ValueError, match="evaluate it first"):
        runs.publish(copy, tmp_path / "out")
    with pytest.raises(ValueError, match="must go into another folder"):
        runs.publish(copy, copy)
    with pytest.raises(FileNotFoundError, match="holds no run"):
        runs.publish(tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_published_results_are_tested_again(run, published, capsys, monkeypatch):
    monkeypatch.setattr(experiments, "use_all_cores", lambda: None)  # JAX has started already.
    monkeypatch.setattr(cli, "keep_programs", lambda: None)
    own = (published / "evaluation.json").read_bytes()
    result = json.loads(own)
    assert not (published / "checkpoints").exists()
    content = (published / "params.safetensors").read_bytes()
    assert hashlib.sha256(content).hexdigest() == result["params_sha256"]
    there, here = load_best(run, RECIPE), load_best(published, RECIPE)
    assert there[3:] == here[3:]
    for one, other in zip(
        *(trees.named(best.params).items() for best in (there, here)), strict=True
    ):
        assert one[0] == other[0]
        np.testing.assert_array_equal(one[1], other[1])
    cli.main(["evaluate", str(published)])
    printed = capsys.readouterr().out
    number = experiments.named(result["metric"]).text(
        result["inductive"]["mean"], result["inductive"]["interval"]
    )
    assert f"in the published results     {number}  (inductive)" in printed
    assert not (published / "curves.png").exists()  # Nothing published is drawn anew.
    assert json.loads((published / "evaluation-again.json").read_text()) == result
    assert (published / "evaluation.json").read_bytes() == own
    other = runs.evaluate_run(published, seed=5)
    assert other == runs.evaluate_run(run, seed=5)
    found = runs.compare([run, published], n_episodes=3)
    assert found.differences[0].mean == 0.0


def test_the_command(run, tmp_path, capsys):
    runs.evaluate_run(run)
    cli.main(["publish", str(run), str(tmp_path / "a")])
    assert "params.safetensors into" in capsys.readouterr().out
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(runs.publish.__globals__, "MOST_BYTES", 10)
        cli.main(["publish", str(run), str(tmp_path / "b")])
    assert "without the parameters" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "b").iterdir()}
    kept = {"config.json", "evaluation.json", "metrics.jsonl", "time.json"}
    assert kept <= names and "params.safetensors" not in names


@pytest.mark.parametrize("kind", ["flipped", "cut", "other net", "no digest", "no arrays"])
def test_what_does_not_have_its_digest_is_refused(kind, published):
    path, evaluation = published / "params.safetensors", published / "evaluation.json"
    content, result = bytearray(path.read_bytes()), json.loads(evaluation.read_bytes())
    recipe, message = RECIPE, "does not have the digest that evaluation.json names"
    if kind == "flipped":
        content[-1] ^= 1
    elif kind == "cut":
        content = content[:-8]
    elif kind == "no digest":
        del result["params_sha256"]
        message = "cannot be checked: .* does not name its digest"
    elif kind == "no arrays":
        content = b"\x80\x04pickle"
        result["params_sha256"] = hashlib.sha256(content).hexdigest()
        message = "cannot be read"
    else:
        recipe = dataclasses.replace(RECIPE, net=Mlp(hidden=(9,)))
        message = "holds parameters of another net"
    path.write_bytes(bytes(content))
    evaluation.write_text(json.dumps(result))
    with pytest.raises(ValueError, match=message):
        load_best(published, recipe)
