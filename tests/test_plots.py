import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxmeta import plots

RECORDS = [
    {"step": 1, "loss": 2.0, "grad_norm": 1.0},
    {"step": 1, "val": 0.5, "val_interval": 0.1},
    {"step": 2, "loss": 1.0, "grad_norm": 1.0},
    {"step": 2, "val": 0.6, "val_interval": 0.05},
]
EVALUATION = {
    "recipe": "some",
    "setting": "5-way 1-shot",
    "metric": "accuracy",
    "inductive": {"mean": 0.61, "interval": 0.02},
    "raw_pixel_nearest_neighbour": {"mean": 0.4, "interval": 0.02},
    "adaptation": {
        "5-way 1-shot": [
            {"inner_steps": 0, "mean": 0.2, "interval": 0.01},
            {"inner_steps": 3, "mean": 0.61, "interval": 0.02},
        ]
    },
}


@pytest.fixture
def axes():
    return Figure().subplots()


def line(axes, number=0):
    return axes.lines[number].get_xydata().tolist()


def test_learning_curve(axes):
    plots.learning_curves(RECORDS, metric="accuracy", axes=axes)
    assert line(axes) == [[1, 0.5], [2, 0.6]]
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose([band.min(), band.max()], [0.4, 0.65])


def test_loss_curve(axes):
    plots.loss_curve(RECORDS, axes=axes)
    assert line(axes) == [[1, 2.0], [2, 1.0]]


def test_adaptation_curve(axes):
    plots.adaptation_curves(EVALUATION, axes=axes)
    assert line(axes) == [[0, 0.2], [3, 0.61]]


def test_a_run_in_one_picture(tmp_path):
    figure = plots.draw_runs({"one": (RECORDS, EVALUATION)})
    assert len(figure.axes) == 3
    assert figure.get_suptitle() == "one: 5-way 1-shot 61.00 ± 2.00 % (inductive)"
    assert [panel.get_ylabel() for panel in figure.axes][1:] == [
        "accuracy on meta_val",
        "accuracy on meta_test",
    ]
    figure.savefig(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_several_runs_and_one_without_an_evaluation():
    figure = plots.draw_runs({"one": (RECORDS, EVALUATION), "two": (RECORDS, None)})
    labels = figure.axes[1].get_legend_handles_labels()[1]
    assert labels[:2] == ["one", "two"]
    figure = plots.draw_runs({"alone": ([], None)})
    assert len(figure.axes) == 2


def test_a_run_on_streams(axes):
    by_presentation = {"by_presentation": [0.3, 0.7], "by_presentation_interval": [0.02, 0.01]}
    evaluation = {
        "setting": "5 classes, 50 steps",
        "metric": "accuracy",
        "inductive": {"mean": 0.61, "interval": 0.02} | by_presentation,
    }
    plots.presentation_curves(evaluation, axes=axes)
    assert line(axes) == [[1, 0.3], [2, 0.7]]
    figure = plots.draw_runs({"one": (RECORDS, evaluation)})
    assert figure.axes[2].get_xlabel() == "presentation of a class"


def test_a_memory_along_a_stream():
    weights = np.arange(12.0).reshape(4, 3)  # [T, slots]
    memory = {"read": weights.tolist(), "write": (-weights).tolist(), "classes": [0, 1, 0, 1]}
    figure = plots.draw_memory(memory | {"is_right": [False, False, True, True]}, "one")
    classes, write, read = figure.axes[:3]
    np.testing.assert_array_equal(read.images[0].get_array(), weights.T)
    np.testing.assert_array_equal(write.images[0].get_array(), -weights.T)
    assert line(classes, 0) == [[2, 0], [3, 1]] and line(classes, 1) == [[0, 0], [1, 1]]


def test_importing_leaves_the_backend_of_a_notebook_alone():
    code = "import jaxmeta.cli, sys; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
