"""The visible loop around the step: progress, validation, checkpoints, resume."""

import functools
import math
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import jax
import numpy as np
import optax
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from jaxmeta.checks import at_least
from jaxmeta.episodes import Sample
from jaxmeta.learner import Trainable
from jaxmeta.runs.folder import RunFolder
from jaxmeta.runs.settings import describe
from jaxmeta.runs.trackers import Tracker
from jaxmeta.training.evaluate import make_evaluate
from jaxmeta.training.guards import look_at_tasks
from jaxmeta.training.processes import any_of, is_first, local
from jaxmeta.training.step import MetaState, init_state, make_step, task_keys
from jaxmeta.training.validation import Validation


class Fitted(NamedTuple):
    """What training leaves behind."""

    state: MetaState  # after the last step done
    params: Any  # best by validation; the last without one
    is_complete: bool  # False when stopped by Ctrl-C or SIGTERM, be it in the last call


class Keys(NamedTuple):
    """What the key of a run is split into."""

    init: jax.Array
    steps: jax.Array  # of `make_step`
    validation: jax.Array


def split_key(key: jax.Array) -> Keys:
    """The keys of a run."""
    return Keys(*jax.random.split(key, 3))


def fit(
    learner: Trainable,
    tx: optax.GradientTransformation,
    sample: Sample,
    *,
    key: jax.Array,
    steps: int,
    meta_batch_size: int,
    run_dir: str | Path,
    validation: Validation | None = None,
    resume: bool = False,
    steps_per_call: int = 1,
    checkpoint_every: int | None = None,
    tasks_at_once: int | None = None,
    devices: int = 1,
    config: Any = None,
    show_progress: bool = True,
    log: Sequence[Tracker] = (),
    make_step: Callable = make_step,
    init_state: Callable = init_state,
) -> Fitted:
    """Trains for `steps` meta-steps, to be stopped and resumed at any moment.

    A run killed and resumed ends with the parameters and metrics of an undisturbed one, to the bit
    on the same machine: step t depends on `key` and t alone.

    Args:
      learner, tx, sample, meta_batch_size, tasks_at_once, devices: as for `make_step`.
      steps_per_call: most meta-steps in one compiled call. A call is shorter where a validation, a
        checkpoint or the end comes sooner.
      key: seed of everything.
      steps: meta-steps in all, those before a resume included; may be more than before it.
      run_dir: folder for checkpoints, `metrics.jsonl`, TensorBoard `events`, and the seconds spent
        in `time.json`.
      validation: how and when to evaluate, and after the last step whenever that is; the best
        parameters by it are kept.
      resume: go on from the newest checkpoint in `run_dir`, or start where there is none. The
        settings must be those of the run: `tx` is compared by its updates, the metric of
        `validation` by its name. Other functions, `learner` and `sample` above all, cannot be
        compared: describe them in `config`.
      checkpoint_every: meta-steps between checkpoints; by default those of `validation`, or a
        tenth of `steps`.
      config: what describes the run, as JSON can hold it; kept in `config.json` of `run_dir`. A
        resumed run must have the same, but for `versions` and for `steps` that grow.
      show_progress: a bar with rate and time left, and a line for every validation.
      log: trackers that take the metrics, too, such as `["wandb"]`: see `jaxmeta.runs.trackers`.
      make_step: another way to the step, taking and giving what `jaxmeta.make_step` does, such as
        `rl.ppo()` for agents.
      init_state: another way to the first state, taking what `jaxmeta.init_state` does; the state
        has `params` and `step`, and all of it is in the checkpoints, such as the buffer of
        `rl.online_rounds(...)`.

    Returns `Fitted`; on Ctrl-C or SIGTERM the state is saved first and `is_complete` is False.

    Raises:
      ValueError: a number is below 1, or `run_dir` holds a run and `resume` is False, or that run
        has other settings; names those that differ.
      FloatingPointError: the loss or the meta-gradient is not finite; names step, task, keys and
        the last good checkpoint, and keeps the state before that step in `failure` of `run_dir`.
      OSError: something could not be written, as on a full disk; with room there, resume.

    Example:
      >>> import jax, jaxmeta, optax, pathlib, tempfile
      >>> sample, net = jaxmeta.tasks.sinusoid(), jaxmeta.networks.mlp(1, hidden=(8,))
      >>> learner = jaxmeta.maml(net, inner_steps=1, loss_fn=optax.squared_error)
      >>> fitted = jaxmeta.fit(
      ...     learner,
      ...     optax.adam(1e-3),
      ...     sample,
      ...     key=jax.random.key(0),
      ...     steps=4,
      ...     meta_batch_size=2,
      ...     run_dir=pathlib.Path(tempfile.mkdtemp()) / "run",
      ...     show_progress=False,
      ... )
      >>> int(fitted.state.step), fitted.is_complete
      (4, True)
    """
    run_dir = Path(run_dir)
    if checkpoint_every is None:
        checkpoint_every = _checkpoint_every(steps, steps_per_call, validation)
    _check_numbers(steps, steps_per_call, checkpoint_every, validation)
    stops = [validation.every, checkpoint_every] if validation else [checkpoint_every]

    @functools.cache
    def step_of(length):
        return make_step(
            learner,
            tx,
            sample,
            meta_batch_size=meta_batch_size,
            steps_per_call=length,
            tasks_at_once=tasks_at_once,
            devices=devices,
        )

    step_of(call_length(0, steps, steps_per_call, stops))  # Refuses what does not fit.
    keys = split_key(key)
    state = init_state(keys.init, learner, tx, sample)
    score = validation and make_evaluate(
        validation.learner or learner,
        validation.sample,
        n_episodes=validation.n_episodes,
        metric=validation.metric,
        score=validation.score,
    )
    with ExitStack() as open_until_the_end:
        folder = open_until_the_end.enter_context(
            closing(RunFolder(run_dir, resume=resume, config=config, log=log))
        )
        settings = describe(key, steps, meta_batch_size, validation, tx, state.params)
        done, state = folder.begin(state, settings)
        interruption = open_until_the_end.enter_context(Interruption())
        console = Console(quiet=not (show_progress and is_first()))
        progress = open_until_the_end.enter_context(progress_of(console))
        bar = progress.add_task("meta-steps", total=steps, completed=done, loss=math.nan)
        clock = Clock(done)
        is_asked = any_of(interruption.asked)
        while done < steps and not is_asked:
            length = call_length(done, steps, steps_per_call, stops)
            state, info = step_of(length)(state, keys.steps)
            losses, norms = np.asarray(info.loss), np.asarray(info.grad_norm)
            if np.asarray(info.is_skipped).any():
                stop(folder, learner, sample, local(state), keys.steps, meta_batch_size)
            done += length
            loss = float(losses.mean(dtype=np.float64))
            folder.write(done, loss=loss, grad_norm=float(norms.mean(dtype=np.float64)))
            progress.update(bar, completed=done, loss=loss)
            if validation and score and (done % validation.every == 0 or done == steps):
                params = local(state.params)
                try:
                    result = score(params, keys.validation)
                except FloatingPointError as error:
                    raise FloatingPointError(
                        f"validation after step {done}: {error} {_last_good(folder)}"
                    ) from error
                best = folder.best_value(validation.is_better)
                has_interval = math.isfinite(result.interval)  # One episode has none.
                spread = {"val_interval": result.interval} if has_interval else {}
                folder.write(done, val=result.mean, **spread)
                if best is None or validation.is_better(result.mean, best):
                    folder.save_best(done, params)
                width = f" ± {result.interval:.4f}" if spread else ""
                console.print(
                    f"step {done}/{steps}: loss {loss:.4f}, validation {result.mean:.4f}{width}, "
                    f"{clock.left(done, steps)} left"
                )
            is_asked = any_of(interruption.asked)
            if done % checkpoint_every == 0 or done == steps or is_asked:
                folder.save(done, local(state))
        state = local(state)
        params = folder.finish(state.params)
        is_asked = any_of(interruption.asked)  # While the last call ran, or the files were written.
    return Fitted(state, params, done >= steps and not is_asked)


def call_length(done: int, steps: int, steps_per_call: int, stops: Sequence[int]) -> int:
    """Meta-steps of the call after step `done`: up to the next stop, `steps_per_call` at most.

    Args:
      done: meta-steps done.
      steps: meta-steps in all.
      steps_per_call: most of them in one call.
      stops: a call ends at each multiple of these numbers. Calls are counted from the last one, so
        a run resumed at the end of any call makes the calls of one undisturbed.
    """
    last = max(done // every * every for every in stops)
    ends = [last + ((done - last) // steps_per_call + 1) * steps_per_call, steps]
    return min(ends + [(done // every + 1) * every for every in stops]) - done


def _checkpoint_every(steps, steps_per_call, validation):
    if validation:
        return validation.every
    return max(steps // 10 // steps_per_call, 1) * steps_per_call if steps_per_call > 0 else 1


def _check_numbers(steps, steps_per_call, checkpoint_every, validation):
    numbers = {"steps": steps, "steps_per_call": steps_per_call}
    if validation:
        numbers["validation.every"] = validation.every
    numbers["checkpoint_every"] = checkpoint_every
    at_least(1, **numbers)


def stop(
    folder: RunFolder,
    learner: Trainable,
    sample: Sample,
    state: MetaState,
    key: jax.Array,
    meta_batch_size: int,
) -> NoReturn:
    """Raises after a step that is not finite; `state` is the one before it."""
    step = int(state.step)
    message = f"the loss or meta-gradient of step {step} is not finite"
    content = {"step": step, "key": jax.random.key_data(key).tolist()}
    if is_first():
        tasks = look_at_tasks(learner, sample, state.params, key, step, meta_batch_size)
        task = tasks.first_not_finite()
        content |= {
            "task": task,
            "losses": [str(number) for number in tasks.loss],
            "grad_norms": [str(number) for number in tasks.grad_norm],
        }
        if task is None:
            message += ", though that of every task by itself is"
        else:
            content["task_keys"] = jax.random.key_data(task_keys(key, step, task)).tolist()
            message += f", first in task {task} (keys {content['task_keys']})"
    folder.save_failure(state, content)
    raise FloatingPointError(
        f"{message}. Key of the steps: {content['key']}. {_last_good(folder)} "
        f"`jaxmeta replay {folder.run_dir} --step {step}` runs the step again with checks on."
    )


def _last_good(folder):
    step = folder.last_step()
    if not step:
        return f"Nothing was saved in {folder.run_dir} before."
    return f"The last good checkpoint in {folder.run_dir} is of step {step}."


def progress_of(console: Console) -> Progress:
    """The bar of a training, whose tasks have a `loss`."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TextColumn("loss {task.fields[loss]:.4f}"),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


class _Rate(ProgressColumn):
    def render(self, task):
        return Text("" if task.speed is None else f"{task.speed:.1f} steps/s")


class Clock:
    """How long it still takes."""

    def __init__(self, done):
        self._done, self._started = done, time.monotonic()

    def left(self, done, steps):
        pace = (time.monotonic() - self._started) / (done - self._done)
        return timedelta(seconds=round(pace * (steps - done)))


class Interruption:
    """Turns the first SIGINT or SIGTERM into a wish to stop after the current call."""

    def __enter__(self):
        self.asked = False
        self._before = {}
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        except ValueError:  # Not the main thread: signals are another's business.
            pass
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number, frame):
        del number, frame
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
