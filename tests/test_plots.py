import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from jaxmeta import Episode, Examples, plots
from jaxmeta.runs import EpisodeView

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


@pytest.fixture
def view():
    """Three classes, two shots and one unlabelled image, two queries each, one of them wrong."""
    rng = np.random.default_rng(0)
    labels = np.eye(3)
    support = Examples(
        rng.uniform(size=(7, 4, 4, 1)), np.concatenate([np.repeat(labels, 2, 0), np.zeros((1, 3))])
    )
    query = Examples(rng.uniform(size=(6, 4, 4, 1)), np.repeat(labels, 2, 0))
    shares = 0.7 * np.repeat(labels, 2, 0) + 0.1
    shares[1] = [0.2, 0.2, 0.6]
    return EpisodeView(Episode(support, query), shares, rng.normal(size=(13, 2)), 0.8)


def test_predictions_mark_what_is_wrong(axes, view):
    plots.predictions(view, axes=axes)
    assert len(axes.images) == 6 + 6
    assert [text.get_text() for text in axes.texts] == ["2"]
    red = [patch for patch in axes.patches if patch.get_edgecolor()[:3] == to_rgb("tab:red")]
    assert len(red) == 1


def test_confusion_is_the_mean_share_per_class(axes, view):
    plots.confusion(view, axes=axes)
    expected = np.stack([view.shares[:2].mean(0), view.shares[2], view.shares[4]])
    np.testing.assert_allclose(axes.images[0].get_array(), expected)


def test_projection_shows_queries_support_and_unlabelled(axes, view):
    plots.projection(view, axes=axes)
    places = [part.get_offsets() for part in axes.collections]
    np.testing.assert_array_equal(places[0], view.projection[7:])
    np.testing.assert_array_equal(places[1], view.projection[6:7])
    np.testing.assert_array_equal(places[2], view.projection[:6])
    assert [text.get_text() for text in axes.texts] == ["0", "0", "1", "1", "2", "2"]


@pytest.mark.parametrize("has_embedding", [True, False])
def test_an_episode_in_one_picture(tmp_path, view, has_embedding):
    if not has_embedding:
        view = view._replace(projection=None, explained=None)
    figure = plots.draw_episode(view, "some run")
    assert len(figure.axes) == 3 + has_embedding  # One is the colour bar.
    figure.savefig(tmp_path / "episode.png")


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


def horizontals(axes):
    """Lines at one height over the whole width of a panel."""
    return [line for line in axes.lines if len(line.get_xdata()) == 2 == 1 + line.get_xdata()[1]]


UNTRAINED = {"untrained": {"mean": 0.25, "interval": 0.02}}


def test_nothing_measured_on_meta_test_is_drawn_on_meta_val():
    """The floors lie in the panel of the classes they were measured on."""
    _, learning, adaptation = plots.draw_runs({"one": (RECORDS, EVALUATION | UNTRAINED)}).axes
    assert learning.get_ylabel() == "accuracy on meta_val" and not horizontals(learning)
    assert len(learning.lines) == 1
    (floor,) = horizontals(adaptation)
    assert floor.get_ydata()[0] == 0.4 and floor.get_label() == "raw-pixel nearest neighbour"


def test_what_is_untrained_is_a_point_after_as_many_steps():
    """Fresh parameters were adapted by all inner steps: no level for every number of them."""
    adaptation = plots.draw_runs({"one": (RECORDS, EVALUATION | UNTRAINED)}).axes[2]
    (bars,) = adaptation.containers
    assert bars.get_label() == "untrained"
    assert bars.lines[0].get_xydata().tolist() == [[3, 0.25]]


def test_a_learner_without_inner_steps_shows_its_meta_test():
    evaluation = EVALUATION | UNTRAINED
    evaluation.pop("adaptation")
    panel = plots.draw_runs({"one": (RECORDS, evaluation)}).axes[2]
    assert panel.get_ylabel() == "accuracy on meta_test" and not horizontals(panel)
    (bars,) = panel.containers
    places = dict(bars.lines[0].get_xydata().tolist())
    names = [text.get_text() for text in panel.get_xticklabels()]
    found = {names[int(place)]: value for place, value in places.items()}
    expected = {"inductive": 0.61, "untrained": 0.25, "raw-pixel nearest neighbour": 0.4}
    assert found == expected


def test_two_runs_keep_their_own_floors():
    other = {**EVALUATION, "raw_pixel_nearest_neighbour": {"mean": 0.2, "interval": 0.02}}
    runs = {"one": (RECORDS, EVALUATION), "two": (RECORDS, other)}
    floors = horizontals(plots.draw_runs(runs).axes[2])
    assert {line.get_label(): line.get_ydata()[0] for line in floors} == {
        "one raw-pixel nearest neighbour": 0.4,
        "two raw-pixel nearest neighbour": 0.2,
    }


def test_one_episode_is_drawn_without_an_interval():
    evaluation = {**EVALUATION, "inductive": {"mean": 0.61, "interval": None}}
    points = [point | {"interval": None} for point in EVALUATION["adaptation"]["5-way 1-shot"]]
    evaluation["adaptation"] = {"5-way 1-shot": points}
    records = [{"step": 1, "val": 0.5}]
    figure = plots.draw_runs({"one": (records, evaluation)})
    assert figure.get_suptitle() == "one: 5-way 1-shot 61.00 % (inductive)"


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
    untrained = {"by_presentation": [0.2, 0.1], "by_presentation_interval": [0.02, 0.01]}
    evaluation["untrained"] = {"mean": 0.15, "interval": 0.02} | untrained
    figure = plots.draw_runs({"one": (RECORDS, evaluation)})
    assert line(figure.axes[2], 1) == [[1, 0.2], [2, 0.1]] and not horizontals(figure.axes[2])
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
    code = "import jaxmeta.command.cli, sys; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def curve(sigma):
    one = np.array([[0.0], [1.0]])
    return SimpleNamespace(
        support=Examples(one, 2 + one, np.array([True, False])),
        query=Examples(one, one),
        x=one,
        mean=np.array([1.0, 2.0]),
        sigma=sigma,
    )


def test_predictive_band(axes):
    plots.predictive_band(curve(np.array([0.5, 1.0])), axes=axes)
    assert line(axes) == [[0, 1.0], [1, 2.0]]
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose([band.min(), band.max()], [1 - 0.98, 2 + 1.96])
    assert line(axes, 2) == [[0.0, 2.0]]  # What is not valid is not drawn.


def test_weight_statistics(axes):
    """Two tasks: (1, 3) and (1, 1) have mean square 3, and variances 0 and 1 over tasks."""
    plots.weight_statistics({"head": np.array([[1.0, 3.0], [1.0, 1.0]])}, axes=axes)
    heights = [patch.get_height() for patch in axes.patches]
    np.testing.assert_allclose(heights, [np.sqrt(3), np.sqrt(0.5)])


def test_attention_map(axes):
    attention = np.arange(12.0).reshape(2, 2, 3)
    plots.attention_map(attention, np.array([0, 1, -1]), axes=axes, name="head")
    np.testing.assert_array_equal(axes.images[0].get_array(), attention.sum(0))
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "1", "?"]


def test_what_a_task_shows():
    empty = SimpleNamespace(weights={}, attention={}, labels=np.zeros(1), curve=None)
    assert plots.draw_look(empty, "nothing") is None
    empty.curve, empty.weights = curve(None), {"head": np.ones((2, 3))}
    figure = plots.draw_look(empty, "two")
    assert [panel.get_title() for panel in figure.axes] == ["Prediction", "Generated weights"]
    empty.curve, empty.attention = None, {"block_0": np.ones((1, 2, 1)), "head": np.ones((1, 3, 1))}
    figure = plots.draw_look(empty, "three")
    titles = ["Generated weights", "Attention, block 0", "Attention, head"]
    assert [panel.get_title() for panel in figure.axes] == titles
    assert [len(panel.images) for panel in figure.axes] == [0, 1, 1]
