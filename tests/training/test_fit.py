import json
import os
import shutil
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta.recipes import build, read_config
from jaxmeta.training import Validation, fit, read_metrics
from jaxmeta.training.checkpoint import Checkpoints
from jaxmeta.training.metrics import Metrics
from jaxmeta.training.run_folder import RunFolder
from jaxmeta.training.step import task_keys

SAMPLE = jaxmeta.tasks.sinusoid(k_shot=5, q_queries=5)


def learner():
    net = jaxmeta.networks.mlp(1, hidden=(8,), kernel_init=jax.nn.initializers.glorot_normal())
    return jaxmeta.maml(net, inner_steps=1, loss_fn=optax.squared_error)


def train(run_dir, steps=40, learner=None, **settings):
    return fit(
        learner or globals()["learner"](),
        optax.adam(1e-3),
        SAMPLE,
        **{
            "key": jax.random.key(0),
            "steps": steps,
            "meta_batch_size": 4,
            "run_dir": run_dir,
            "validation": Validation(
                SAMPLE,
                every=10,
                n_episodes=5,
                metric=jaxmeta.losses.squared_error,
                is_better=float.__lt__,
            ),
            "steps_per_call": 5,
            "show_progress": False,
        }
        | settings,
    )


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def assert_same_bits(one, other):
    for a, b in zip(leaves(one), leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_it_learns_and_keeps_the_best(tmp_path):
    fitted = train(tmp_path, steps=200)
    assert fitted.is_complete and int(fitted.state.step) == 200
    records = read_metrics(tmp_path)
    validations = {record["step"]: record["val"] for record in records if "val" in record}
    assert list(validations) == list(range(10, 201, 10))
    losses = [record["loss"] for record in records if "loss" in record]
    assert np.mean(losses[-10:]) < np.mean(losses[:10])
    best = min(validations, key=validations.get)
    assert [path.name for path in (tmp_path / "checkpoints" / "best").iterdir()] == [str(best)]
    again = train(tmp_path / "again", steps=best)
    assert_same_bits(fitted.params, again.state.params)


def test_a_run_traces_nothing_anew(tmp_path):
    """Every part is traced as often in a long run as in a short one."""

    def counted(steps):
        calls = dict.fromkeys(("init", "adapt", "predict", "loss"), 0)
        plain = learner()

        def counting(name):
            def call(*args):
                calls[name] += 1
                return getattr(plain, name)(*args)

            return call

        train(tmp_path / str(steps), steps, jaxmeta.Learner(*map(counting, calls)))
        return calls

    assert counted(80) == counted(10)


def test_without_validation_the_last_parameters_are_the_result(tmp_path):
    fitted = train(tmp_path, validation=None)
    assert_same_bits(fitted.params, fitted.state.params)
    assert not any("val" in record for record in read_metrics(tmp_path))


@pytest.mark.parametrize("devices", [1, 2])
def test_a_run_continued_in_a_second_call_is_the_undisturbed_one(tmp_path, devices):
    """On two devices the restored state must not be bound to one of them (a bug once)."""
    whole = train(tmp_path / "whole", steps=40, devices=devices)
    train(tmp_path / "parts", steps=20, devices=devices)
    parts = train(tmp_path / "parts", steps=40, resume=True, devices=devices)
    assert_same_bits(whole, parts)
    one, other = (tmp_path / name / "metrics.jsonl" for name in ("whole", "parts"))
    assert one.read_bytes() == other.read_bytes()


def test_how_often_a_run_is_saved_changes_nothing(tmp_path):
    often = train(tmp_path / "often", steps=20, checkpoint_every=5)
    once = train(tmp_path / "once", steps=20, checkpoint_every=20, validation=None)
    assert_same_bits(often.state, once.state)


def test_a_folder_with_a_run_is_left_alone_without_resume(tmp_path):
    before = train(tmp_path)
    content = (tmp_path / "metrics.jsonl").read_bytes()
    with pytest.raises(ValueError, match="already holds a run of 40 steps"):
        train(tmp_path, steps=80)
    assert (tmp_path / "metrics.jsonl").read_bytes() == content
    assert_same_bits(train(tmp_path, resume=True).state, before.state)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_ctrl_c_saves_and_the_run_goes_on(tmp_path, number):
    whole = train(tmp_path / "whole")
    handler = signal.getsignal(number)
    sent = []

    def interrupt(new, best):
        if not sent:
            sent.append(os.kill(os.getpid(), number))
        return new < best

    stopped = train(
        tmp_path / "stopped",
        validation=Validation(
            SAMPLE,
            every=10,
            n_episodes=5,
            metric=jaxmeta.losses.squared_error,
            is_better=interrupt,
        ),
    )
    assert not stopped.is_complete and int(stopped.state.step) == 20
    assert signal.getsignal(number) is handler
    resumed = train(tmp_path / "stopped", resume=True)
    assert resumed.is_complete
    assert_same_bits(resumed, whole)


def test_nan_stops_the_run_and_names_step_and_checkpoint(tmp_path):
    def broken(params, key, episode):
        loss, outputs = learner().loss(params, key, episode)
        # Once the first weights have moved far enough, as in a run that diverges.
        return loss / (jax.numpy.abs(params.net["params"]["head"]["bias"]).sum() < 0.02), outputs

    with pytest.raises(FloatingPointError) as caught:
        train(tmp_path, steps=100, learner=learner()._replace(loss=broken))
    records = read_metrics(tmp_path)
    last = records[-1]["step"]
    message = str(caught.value)
    assert f"of step {last}" in message or any(f"of step {last + i} " in message for i in range(5))
    checkpoint = max(int(path.name) for path in (tmp_path / "checkpoints" / "last").iterdir())
    assert f"The last good checkpoint in {tmp_path} is of step {checkpoint}." in message
    assert all(np.isfinite(list(record.values())).all() for record in records)


def test_nan_names_the_task_and_keeps_the_state_before_it(tmp_path):
    """One task of step 13 is made to fail; all that is needed to see it again is in `failure`."""
    step, task = 13, 2
    key_steps = jax.random.split(jax.random.key(0), 3)[1]
    bad = jax.random.key_data(task_keys(key_steps, step, task)[1])

    def broken(params, key, episode):
        loss, outputs = learner().loss(params, key, episode)
        is_bad = (jax.random.key_data(key) == bad).all()
        return jnp.where(is_bad, jnp.nan, loss), outputs

    with pytest.raises(FloatingPointError) as caught:
        train(tmp_path, learner=learner()._replace(loss=broken))
    message = str(caught.value)
    assert f"step {step} is not finite, first in task {task} (keys" in message
    assert str(bad.tolist()) in message
    assert f"`jaxmeta replay {tmp_path} --step {step}`" in message
    failure = json.loads((tmp_path / "failure" / "failure.json").read_text())
    assert failure["step"] == step and failure["task"] == task
    assert [np.isfinite(float(loss)) for loss in failure["losses"]] == [True, True, False, True]
    # The very state: an undisturbed run of 13 steps has it.
    healthy = train(tmp_path / "healthy", steps=step, steps_per_call=1, validation=None).state
    kept = jaxmeta.restore(tmp_path / "failure" / "state", healthy)
    assert int(kept.step) == step
    for a, b in zip(leaves(kept), leaves(healthy), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_validation_that_diverges_stops_the_run_too(tmp_path):
    net = jaxmeta.networks.mlp(1, hidden=())
    diverging = jaxmeta.maml(
        net, rule=jaxmeta.rules.sgd(1e30), inner_steps=3, loss_fn=optax.squared_error
    )
    plain = jaxmeta.maml(net, inner_steps=0, loss_fn=optax.squared_error)
    validation = Validation(
        SAMPLE,
        every=10,
        n_episodes=5,
        metric=jaxmeta.losses.squared_error,
        is_better=float.__lt__,
        learner=diverging,
    )
    with pytest.raises(FloatingPointError, match="validation after step 10: the predictions of"):
        train(tmp_path, learner=plain, validation=validation)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"steps": 0}, "steps must be a positive multiple of steps_per_call = 5, got 0"),
        ({"steps": 42}, "steps must be a positive multiple of steps_per_call = 5, got 42"),
        ({"checkpoint_every": 3}, "checkpoint_every must be a positive multiple .* got 3"),
        ({"meta_batch_size": 0}, "meta_batch_size must be >= 1"),
    ],
)
def test_bad_numbers_leave_no_folder(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        train(tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


COMMAND = (
    "train",
    "sinusoid-maml",
    *("--steps", "1200", "--steps-per-call", "20", "--validate-every", "100"),
    *("--validation-episodes", "20", "--test-episodes", "20", "--curve-episodes", "5"),
    *("--hidden", "8", "--meta-batch-size", "4", "--test-inner-steps", "1"),
)


def start(run_dir, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "jaxmeta", *COMMAND, "--run-dir", str(run_dir), *arguments],
        stdout=subprocess.DEVNULL,
        env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir)},
    )


def lines(run_dir):
    path = run_dir / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.slow  # test_faults.py kills runs too, sooner.
def test_a_command_killed_at_a_random_moment_ends_with_the_same_bits(tmp_path):
    """The command, killed, then resumed: as if nothing had happened. More in test_faults.py."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(whole).wait() == 0
    process = start(killed)
    while lines(killed) < 30 and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert lines(killed) < lines(whole)
    assert start(killed, "--resume").wait() == 0
    assert (killed / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    one, other = (json.loads((run / "evaluation.json").read_text()) for run in (whole, killed))
    for evaluation in (one, other):
        assert evaluation.pop("seconds_trained") > 0
    assert one == other
    _, recipe = read_config(whole)
    experiment = build(recipe)
    like = jaxmeta.init_state(
        jax.random.key(9), experiment.learner, experiment.tx, experiment.meta_train
    )
    states = []
    for run in (whole, killed):
        checkpoints = Checkpoints(run)
        assert checkpoints.last_step() == 1200
        states.append((checkpoints.restore_last(like), checkpoints.restore_best(like.params)))
        checkpoints.close()
    assert_same_bits(*states)


def test_two_processes_cannot_train_in_one_folder(tmp_path):
    folder = RunFolder(tmp_path, resume=True, config=None)
    with pytest.raises(ValueError, match=r"another process is training in .*"):
        train(tmp_path, resume=True)
    folder.close()
    train(tmp_path, resume=True)


def test_a_disk_that_is_full_stops_the_run_and_loses_nothing(tmp_path, monkeypatch):
    whole = train(tmp_path / "whole")
    run = tmp_path / "run"

    def full(self, step, **values):
        if step > 25:
            raise OSError(28, "No space left on device")
        write(self, step, **values)

    write = Metrics.write
    monkeypatch.setattr(Metrics, "write", full)
    with pytest.raises(OSError, match="No space left on device"):
        train(run)
    monkeypatch.setattr(Metrics, "write", write)
    assert_same_bits(train(run, resume=True), whole)
    one, other = (path / "metrics.jsonl" for path in (tmp_path / "whole", run))
    assert one.read_bytes() == other.read_bytes()


def test_files_beside_the_checkpoints_are_repaired_from_them(tmp_path):
    run = tmp_path / "run"
    train(run, steps=20, config={"recipe": "none"})
    whole = (run / "metrics.jsonl").read_bytes()
    (run / "metrics.jsonl").write_bytes(whole[:30] + bytes(40))
    (run / "config.json").write_bytes(b"")
    (run / "time.json").unlink()
    for path in (run / "checkpoints" / "best").iterdir():
        shutil.rmtree(path)
    fitted = train(run, steps=20, resume=True, config={"recipe": "none"})
    assert (run / "metrics.jsonl").read_bytes() == whole
    assert json.loads((run / "config.json").read_text()) == {"recipe": "none"}
    assert json.loads((run / "time.json").read_text())["seconds"] > 0
    checkpoints = Checkpoints(run)
    assert_same_bits(checkpoints.restore_best(fitted.params), fitted.params)
    checkpoints.close()
