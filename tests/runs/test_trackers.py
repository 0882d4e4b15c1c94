"""Metrics sent to trackers, by clients that write to the disk."""

import dataclasses
import json
import sys
import warnings
from types import SimpleNamespace

import pytest

from jaxmeta import runs
from jaxmeta.recipes import find
from jaxmeta.runs.trackers import tracker


def short(steps):
    recipe = find("sinusoid-maml")
    outer = dataclasses.replace(
        recipe.outer,
        steps=steps,
        steps_per_call=1,
        validate_every=2,
        validation_episodes=2,
        meta_batch_size=2,
    )
    return dataclasses.replace(
        recipe, net=dataclasses.replace(recipe.net, hidden=(4,)), outer=outer
    )


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_without_the_client(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=rf"log needs {name}: pip install 'jaxmeta\[{name}\]'"):
        tracker(name, tmp_path, {}, 0)


class Client:
    """A client of wandb that keeps what it is given, and fails when it is told to."""

    def __init__(self):
        self.opened, self.logged, self.fails = [], [], False

    def init(self, **settings):
        self.opened.append(settings)
        return SimpleNamespace(id="abc", log=self.log, finish=lambda: self.logged.append("end"))

    def log(self, values, step):
        if self.fails:
            raise RuntimeError("no answer")
        self.logged.append((step, values))


def test_a_run_and_its_resume_are_one_run_at_the_tracker(tmp_path, monkeypatch):
    client = Client()
    monkeypatch.setitem(sys.modules, "wandb", client)
    runs.train("sinusoid-maml", short(4), tmp_path / "run", log=["wandb"], show_progress=False)
    records = runs.read_metrics(tmp_path / "run")
    sent = [{"step": step, **values} for step, values in client.logged[:-1]]
    assert sent == records and client.logged[-1] == "end"
    assert client.opened[0]["config"]["recipe"] == "sinusoid-maml"
    assert client.opened[0]["id"] is None
    runs.train(
        "sinusoid-maml",
        short(6),
        tmp_path / "run",
        log=["wandb"],
        resume=True,
        show_progress=False,
    )
    assert client.opened[1]["id"] == "abc" and client.opened[1]["resume"] == "allow"


def test_a_tracker_that_no_longer_answers_does_not_end_the_run(tmp_path, monkeypatch):
    client = Client()
    monkeypatch.setitem(sys.modules, "wandb", client)
    sink = tracker("wandb", tmp_path, {}, 0)
    sink.write(1, {"loss": 0.5})
    client.fails = True
    with pytest.warns(UserWarning, match=r"wandb takes no metrics from step 2 on \(no answer\)"):
        sink.write(2, {"loss": 0.5})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sink.write(3, {"loss": 0.5})
        sink.close()
    assert client.logged == [(1, {"loss": 0.5})]


def test_wandb_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="needs the extra `wandb`")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    (tmp_path / "run").mkdir()
    sink = tracker("wandb", tmp_path / "run", {"recipe": "mine"}, 0)
    sink.write(1, {"loss": 0.5})
    sink.close()
    (file,) = (tmp_path / "run").glob("wandb/offline-run-*/run-*.wandb")
    identity = json.loads((tmp_path / "run" / "tracker.json").read_text())["wandb"]
    assert file.name == f"run-{identity}.wandb" and file.stat().st_size > 0


def test_mlflow_in_files(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="needs the extra `mlflow`")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    (tmp_path / "run").mkdir()
    sink = tracker("mlflow", tmp_path / "run", {"recipe": "mine", "outer": {"steps": 4}}, 0)
    sink.write(1, {"loss": 0.5})
    sink.close()
    sink = tracker("mlflow", tmp_path / "run", {}, 1)  # A resumed run.
    sink.write(2, {"loss": 0.25})
    sink.close()
    identity = json.loads((tmp_path / "run" / "tracker.json").read_text())["mlflow"]
    client = mlflow.MlflowClient()
    history = [(point.step, point.value) for point in client.get_metric_history(identity, "loss")]
    assert history == [(1, 0.5), (2, 0.25)]
    run = client.get_run(identity)
    assert run.data.params == {"recipe": '"mine"', "outer.steps": "4"}
    assert run.info.status == "FINISHED" and run.info.run_name == "run"
