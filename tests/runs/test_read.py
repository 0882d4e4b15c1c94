import dataclasses
import sys
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta
from jaxmeta import runs
from jaxmeta.runs.read import metrics_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The committed run of the first release."""
    folder = tmp_path_factory.mktemp("run")
    with zipfile.ZipFile(Path(__file__).with_name("old_run.zip")) as file:
        file.extractall(folder)
    return folder


def test_a_run_is_adapted_to_a_new_task(folder):
    x = jnp.linspace(-5, 5, 5)[:, None]
    run = runs.read(folder)
    adapted = run.learner.adapt(run.params, jax.random.key(0), jaxmeta.Examples(x, jnp.sin(x)))
    y = run.learner.predict(run.params, adapted, x)
    assert y.shape == (5, 1) and np.isfinite(y).all()
    assert run.name == "sinusoid-maml" and run.domain is run.recipe.task
    # The parameters are those that the meta-test takes.
    again = jaxmeta.evaluate(
        run.learner,
        run.params,
        run.experiment.meta_test["5-shot"],
        n_episodes=run.evaluation["n_episodes"],
        key=jax.random.fold_in(jax.random.key(0), 1),
        metric=run.experiment.metric,
    )
    np.testing.assert_allclose(again.mean, run.evaluation["inductive"]["mean"], rtol=1e-4)


def test_the_metrics_are_a_table(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    metrics = runs.read(folder).metrics
    records = runs.read_metrics(folder)
    assert metrics["step"].tolist() == sorted({record["step"] for record in records})
    for name, column in metrics.items():
        assert len(column) == len(metrics["step"])
        found = [value for value in column if not np.isnan(value)]
        if name != "step":
            assert found == [record[name] for record in records if name in record]


def test_with_pandas(folder):
    pandas = pytest.importorskip("pandas", reason="not installed")
    metrics = runs.read(folder).metrics
    assert isinstance(metrics, pandas.DataFrame) and metrics.columns[0] == "step"


def test_a_table_without_records():
    assert metrics_table([])["step"].tolist() == []


def test_a_folder_without_a_run(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match="holds no run"):
        runs.read(tmp_path)
    assert dataclasses.is_dataclass(runs.read(folder).recipe)
