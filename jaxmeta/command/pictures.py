"""The pictures of a run."""

import json
from pathlib import Path

from jaxmeta import plots, runs

CURVES = "curves.png"
TASK = "task.png"


def draw_episode(run_dir, number):
    """An episode of a run on images, with its predictions, in episode.png."""
    name, recipe = runs.read_config(run_dir)
    if not runs.has_images(recipe):
        return
    view = runs.episode_of_run(run_dir, number=number)
    if view.episode.support.x.ndim != 4:
        return  # Rows that are no pictures.
    path = Path(run_dir) / "episode.png"
    plots.draw_episode(view, f"{name}, episode {number} of meta_test").savefig(path, dpi=120)
    print(f"wrote {path}")


def draw_look(run_dir):
    """What a learner of one pass reads out of a support set, in task.png."""
    look = runs.look_run(run_dir)
    figure = look and plots.draw_look(look, f"{run_dir.name}, a task of meta_test")
    if figure is not None:
        figure.savefig(run_dir / TASK, dpi=120)
        print(f"wrote {run_dir / TASK}")


def draw_paths(run_dir):
    """Ways through navigation tasks, in paths.png."""
    paths = runs.paths_of_run(run_dir)
    if paths is not None:
        path = run_dir / "paths.png"
        plots.draw_paths(paths, f"{run_dir.name}, tasks of meta_test").savefig(path, dpi=120)
        print(f"wrote {path}")


def draw_attention(run_dir):
    """Where an in-context agent looks, in attention.png."""
    view = runs.attention_of_run(run_dir)
    if view is not None:
        path = run_dir / "attention.png"
        plots.draw_attention(view, f"{run_dir.name}, a task of meta_test").savefig(path, dpi=120)
        print(f"wrote {path}")


def draw_memory(run_dir):
    """What a memory did along one stream, in memory.png."""
    trace = run_dir / runs.MEMORY_TRACE
    if trace.exists():
        path = run_dir / "memory.png"
        title = f"{run_dir.name}, one stream of meta_test"
        plots.draw_memory(json.loads(trace.read_text()), title).savefig(path, dpi=120)
        print(f"wrote {path}")


def draw_runs(run_dirs, path):
    """Learning and adaptation curves of runs, in one picture."""
    drawn = {}
    folders = list(dict.fromkeys(map(Path, run_dirs)))
    for run_dir, name in zip(folders, runs.short_names(folders), strict=True):
        runs.read_config(run_dir)
        file = run_dir / "evaluation.json"
        evaluation = json.loads(file.read_text()) if file.exists() else None
        drawn[name] = (runs.read_metrics(run_dir), evaluation)
    metrics = {evaluation["metric"] for _, evaluation in drawn.values() if evaluation}
    if len(metrics) > 1:
        raise ValueError(f"one picture shows runs of one metric, got {', '.join(sorted(metrics))}.")
    plots.draw_runs(drawn).savefig(path, dpi=120)
    return path
