"""Several runs trained as one compiled program: the runs of a grid, by `vmap`."""

import functools
import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from jaxmeta.experiments.build import build
from jaxmeta.experiments.fits import check_fits
from jaxmeta.experiments.own import OwnCode
from jaxmeta.experiments.recipe import Recipe
from jaxmeta.runs.fit import Clock, Interruption, call_length, progress_of, split_key, stop
from jaxmeta.runs.folder import RunFolder
from jaxmeta.runs.run import TRAINING, config_of, keep_code, seed_key
from jaxmeta.runs.settings import describe
from jaxmeta.runs.sweep import Cell, with_field
from jaxmeta.training.evaluate import make_evaluate
from jaxmeta.training.tracing import jit_passing_constants


class Together(NamedTuple):
    """What training several runs leaves behind."""

    failures: dict[Path, str]  # by folder: why a run has stopped at a number that is not finite
    is_complete: bool  # False when stopped by Ctrl-C or SIGTERM


def traced_paths(recipe: Recipe) -> tuple[str, ...]:
    """Fields that runs of one program may differ in, beside the seed; () for such as train in turn.

    Nets of convolutions and agents train in turn: see `experiments.build`.
    """
    if recipe.net.convolves or recipe.task.acts or jax.process_count() > 1:
        return ()
    of_method = (f"learner.{name}" for name in recipe.learner.traced_fields)
    return (*of_method, *(f"outer.{name}" for name in recipe.outer.traced_fields))


def train_together(
    name: str,
    cells: Sequence[Cell],
    *,
    resume: bool = False,
    code: OwnCode | None = None,
    show_progress: bool = True,
) -> Together:
    """Trains runs that differ in seed and `traced_paths` alone, each into its folder.

    A folder holds what `train` would have written into it, the numbers being the same up to the
    rounding of floats, and the seconds those of the whole program. A run that meets a number that
    is not finite stops; the others go on. Each can be resumed, with others or alone.

    Args:
      name: of the recipe.
      cells: of one grid.
      resume: go on from the newest checkpoints.
      code, show_progress: as for `train`.

    Raises:
      ValueError: a folder holds a run and `resume` is False, or a run of other fields.
      OSError: something could not be written.
    """
    paths = traced_paths(cells[0].recipe)
    prepared = [
        config_of(name, cell.recipe, cell.folder, resume=resume, code=code) for cell in cells
    ]
    samples = cells[0].recipe.task.samples()
    failures: dict[Path, str] = {}
    with ExitStack() as open_until_the_end:
        runs = []
        for cell, (recipe, config) in zip(cells, prepared, strict=True):
            folder = open_until_the_end.enter_context(
                closing(RunFolder(cell.folder, resume=resume, config=config))
            )
            keep_code(recipe, cell.folder, code)
            runs.append(_Run(cell.folder, recipe, folder, build(recipe, samples)))
        check_fits(runs[0].recipe, runs[0].experiment)
        program = _Program(runs[0].recipe, samples, paths)
        states = program.init(*_arrays(runs, paths, lambda keys: keys.init))
        described: dict[float, dict[str, Any]] = {}  # To describe an optimiser, it is compiled.
        for number, run in enumerate(runs):
            first = jax.tree.map(lambda leaf, n=number: leaf[n], states)
            rate = run.recipe.outer.outer_lr
            described[rate] = described.get(rate) or run.settings(first.params)
            run.begin(first, described[rate])
        interruption = open_until_the_end.enter_context(Interruption())
        # Those stopped at another step go on by themselves: they are steps of other numbers.
        for done in sorted({run.done for run in runs}):
            group = [run for run in runs if run.done == done]
            failures |= _go_on(program, group, paths, interruption, show_progress)
        for run in runs:
            state: Any = run.state  # It has begun.
            run.folder.finish(state.params)
        return Together(failures, not interruption.asked)


class _Run:
    """One of the runs."""

    def __init__(self, path, recipe, folder, experiment):
        self.path, self.recipe, self.folder, self.experiment = path, recipe, folder, experiment
        self.keys = split_key(seed_key(recipe, TRAINING))
        self.done, self.state = 0, None

    def settings(self, params):
        """What a folder keeps of how a run is made, but for the key the same at one outer rate."""
        outer, experiment = self.recipe.outer, self.experiment
        return describe(
            seed_key(self.recipe, TRAINING),
            outer.steps,
            outer.meta_batch_size,
            experiment.validation,
            experiment.tx,
            params,
        )

    def begin(self, state, settings):
        """Takes the newest checkpoint, or the first state."""
        key = jax.random.key_data(seed_key(self.recipe, TRAINING)).tolist()
        self.done, self.state = self.folder.begin(state, {**settings, "key": key})


class _Program:
    """The functions of one run with traced values, batched over runs."""

    def __init__(self, recipe, samples, paths):
        def built(values):
            there = recipe
            for path, value in zip(paths, values, strict=True):
                there = with_field(there, path, value)
            return build(there, samples)

        def first(values, key):
            experiment = built(values)
            return experiment.init_state(
                key, experiment.learner, experiment.tx, experiment.meta_train
            )

        def validated(values, params, key):
            validation = built(values).validation
            score = make_evaluate(
                validation.learner,
                validation.sample,
                n_episodes=validation.n_episodes,
                metric=validation.metric,
                score=validation.score,
            )
            result = score(params, key)
            return jnp.asarray(result.mean), jnp.asarray(result.interval)

        @functools.cache
        def step_of(length):
            def steps(values, state, key):
                experiment = built(values)
                step = experiment.make_step(
                    experiment.learner,
                    experiment.tx,
                    experiment.meta_train,
                    meta_batch_size=recipe.outer.meta_batch_size,
                    steps_per_call=length,
                    tasks_at_once=experiment.tasks_at_once,
                )
                return step(state, key)

            return _compiled(steps, donate_argnums=1)

        self.init, self.validate, self.step_of = _compiled(first), _compiled(validated), step_of


def _compiled(function: Callable, donate_argnums: Any = ()) -> Callable:
    return jit_passing_constants(jax.vmap(function), donate_argnums=donate_argnums)


def _arrays(runs, paths, key_of):
    """Traced values and keys of runs, each with a leading axis of runs."""
    columns = ([_at(run.recipe, path) for run in runs] for path in paths)
    return tuple(map(jnp.asarray, columns)), jnp.stack([key_of(run.keys) for run in runs])


def _at(config, path):
    return functools.reduce(getattr, path.split("."), config)


def _go_on(program, runs, paths, interruption, show_progress):
    """Trains runs that stand at one step to the end; why those that failed did."""
    experiment, outer = runs[0].experiment, runs[0].recipe.outer
    every, steps, done = outer.validate_every, outer.steps, runs[0].done
    values, keys = _arrays(runs, paths, lambda keys: keys.steps)
    of_validation = _arrays(runs, paths, lambda keys: keys.validation)[1]
    state = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(run.state for run in runs))
    failures: dict[Any, Any] = {}
    console = Console(quiet=not show_progress)
    with progress_of(console) as progress:
        bar = progress.add_task(f"{len(runs)} runs", total=steps, completed=done, loss=math.nan)
        clock = Clock(done)
        is_asked = interruption.asked
        while done < steps and not is_asked and len(failures) < len(runs):
            length = call_length(done, steps, outer.steps_per_call, [every])
            state, info = program.step_of(length)(values, state, keys)
            losses, norms, skipped = (np.asarray(part) for part in info)  # [runs, length]
            done += length
            is_validated = done % every == 0 or done == steps
            scores = program.validate(values, state.params, of_validation) if is_validated else None
            is_asked = interruption.asked
            if is_validated or is_asked or skipped.any():  # A copy: the step reuses its memory.
                here = jax.tree.map(np.array, state)
                for number, run in enumerate(runs):
                    run.state = jax.tree.map(lambda leaf, n=number: leaf[n], here)
            for number, run in enumerate(runs):
                if run.path in failures:
                    continue
                try:
                    if skipped[number].any():
                        parts = run.experiment.learner, run.experiment.meta_train
                        stop(run.folder, *parts, run.state, run.keys.steps, outer.meta_batch_size)
                    loss, norm = (
                        float(part[number].mean(dtype=np.float64)) for part in (losses, norms)
                    )
                    run.folder.write(done, loss=loss, grad_norm=norm)
                    if scores:
                        _validated(run, done, *(float(part[number]) for part in scores))
                except FloatingPointError as error:
                    failures[run.path] = str(error)
            going = [n for n, run in enumerate(runs) if run.path not in failures]
            loss = float(losses[going].mean()) if going else math.nan
            progress.update(bar, completed=done, loss=loss)
            if scores and going:
                best = functools.reduce(
                    lambda a, b: b if experiment.validation.is_better(b, a) else a,
                    [float(scores[0][number]) for number in going],
                )
                console.print(
                    f"step {done}/{steps}: {len(going)} runs, mean loss {loss:.4f}, best "
                    f"validation {best:.4f}, {clock.left(done, steps)} left"
                )
            if is_validated or is_asked:
                for number in going:
                    runs[number].folder.save(done, runs[number].state)
    return failures


def _validated(run, done, mean, interval):
    """Writes a validation down, and keeps the parameters if it is the best."""
    if not math.isfinite(mean):
        raise FloatingPointError(f"validation after step {done}: a prediction is not finite.")
    is_better = run.experiment.validation.is_better
    best = run.folder.best_value(is_better)
    spread = {"val_interval": interval} if math.isfinite(interval) else {}
    run.folder.write(done, val=mean, **spread)
    if best is None or is_better(mean, best):
        run.folder.save_best(done, run.state.params)
