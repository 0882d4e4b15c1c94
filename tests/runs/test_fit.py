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
from jaxmeta.runs import fit, read_metrics
from jaxmeta.runs.checkpoints import Checkpoints
from jaxmeta.runs.fit import call_length
from jaxmeta.runs.folder import RunFolder
from jaxmeta.runs.metrics import Metrics
from jaxmeta.training import Validation
from jaxmeta.training.step import task_keys

SAMPLE = jaxmeta.tasks.sinusoid(k_shot=5, q_queries=5)
VALIDATION = Validation(
    SAMPLE, every=10, n_episodes=5, metric=jaxmeta.losses.squared_error, is_better=float.__lt__
)


def learner(hidden=(8,)):
    net = jaxmeta.networks.mlp(1, hidden=hidden, kernel_init=jax.nn.initializers.glorot_normal())
    return jaxmeta.maml(net, inner_steps=1, loss_fn=optax.squared_error)


def train(run_dir, steps=40, learner=None, tx=None, **settings):
    return fit(
        learner or globals()["learner"](),
        tx or optax.adam(1e-3),
        SAMPLE,
        **{
            "key": jax.random.key(0),
            "steps": steps,
            "meta_batch_size": 4,
            "run_dir": run_dir,
            "validation": VALIDATION,
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
        ({"steps": 0}, "steps must be >= 1, got 0"),
        ({"steps_per_call": 0}, "steps_per_call must be >= 1, got 0"),
        ({"checkpoint_every": 0}, "checkpoint_every must be >= 1, got 0"),
        ({"validation": VALIDATION._replace(every=0)}, r"validation.every must be >= 1, got 0"),
        ({"meta_batch_size": 0}, "meta_batch_size must be >= 1"),
    ],
)
def test_bad_numbers_leave_no_folder(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        train(tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "steps, per_call, stops, lengths",
    [
        (10, 500, [500], [10]),  # a call of 500, of which ten are asked
        (40, 5, [10], [5] * 8),
        (50, 20, [50], [20, 20, 10]),
        (7, 5, [10], [5, 2]),
        (12, 4, [6, 9], [4, 2, 3, 3]),  # at 6, 9 and 12, and counted anew from each
    ],
)
def test_calls_end_at_every_stop_and_take_no_longer_than_asked(steps, per_call, stops, lengths):
    done, found = 0, []
    while done < steps:
        found.append(call_length(done, steps, per_call, stops))
        done += found[-1]
    assert found == lengths and done == steps


def test_a_short_try_is_trained_validated_and_may_go_on(tmp_path):
    """Seven steps with calls of 500: all done, the last of them validated."""
    short = train(tmp_path, steps=7, steps_per_call=500)
    assert short.is_complete and int(short.state.step) == 7
    validated = [record["step"] for record in read_metrics(tmp_path) if "val" in record]
    assert validated == [7]
    longer = train(tmp_path, steps=13, steps_per_call=500, resume=True)
    assert longer.is_complete and int(longer.state.step) == 13
    validated = [record["step"] for record in read_metrics(tmp_path) if "val" in record]
    assert validated == [7, 10, 13]
    whole = train(tmp_path / "whole", steps=13, steps_per_call=500)
    for a, b in zip(leaves(longer.state), leaves(whole.state), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_ctrl_c_in_the_last_call_is_not_forgotten(tmp_path, number):
    """All is trained, and whoever called knows of the wish to stop."""

    numbers = [number]

    def interrupt(outputs, query):
        jax.debug.callback(lambda: numbers and os.kill(os.getpid(), numbers.pop()))
        return jaxmeta.losses.squared_error(outputs, query)

    validation = VALIDATION._replace(metric=interrupt, n_episodes=1)
    stopped = train(tmp_path, steps=10, validation=validation)
    assert int(stopped.state.step) == 10 and not stopped.is_complete
    assert train(tmp_path, steps=10, validation=validation, resume=True).is_complete


def test_one_episode_of_validation_has_no_interval(tmp_path):
    train(tmp_path, steps=10, validation=VALIDATION._replace(n_episodes=1))
    (record,) = (record for record in read_metrics(tmp_path) if "val" in record)
    assert set(record) == {"step", "val"}


def optimiser(*, rate=1e-3, b2=0.999, clip=1.0, falling_over=None):
    schedule = optax.constant_schedule(rate)
    if falling_over:
        schedule = optax.linear_schedule(rate, 0.0, falling_over)
    return optax.chain(optax.clip_by_global_norm(clip), optax.adam(schedule, b2=b2))


CHANGED = [
    ({"key": jax.random.key(1)}, r"key is \[0, 1\], was \[0, 0\]"),
    ({"meta_batch_size": 2}, "meta_batch_size is 2, was 4"),
    ({"validation": VALIDATION._replace(every=5)}, "validation.every is 5, was 10"),
    ({"validation": VALIDATION._replace(n_episodes=6)}, "validation.n_episodes is 6, was 5"),
    ({"validation": None}, "validation.every is None, was 10; validation.n_episodes is None"),
    ({"steps": 10}, "steps is 10, was 20"),
    ({"tx": optimiser(rate=2e-3)}, "tx "),
    ({"tx": optimiser(b2=0.99)}, "tx "),
    ({"tx": optimiser(clip=10.0)}, "tx "),
    ({"tx": optimiser(falling_over=1000)}, "tx "),
    ({"tx": optax.sgd(1e-3)}, "with other settings: tx is another optimiser"),
    (
        {"tx": optax.chain(optimiser(), optax.identity())},
        r"of another structure .*\.opt_state.*: those of another optimiser\.",
    ),
    ({"learner": learner(hidden=(8, 8))}, r"of another structure .* float32\.$"),
    (
        {"validation": VALIDATION._replace(metric=jaxmeta.losses.accuracy)},
        r"validation.metric is jaxmeta\.\S+\.accuracy, was jaxmeta\.\S+\.squared_error",
    ),
    ({"config": {"rate": 0.1, "net": {"width": 8}}}, "net.width is 8, was 4"),
    ({"config": {"rate": 0.2, "net": {"width": 4}}}, "rate is 0.2, was 0.1"),
    ({"config": {"net": {"width": 4}}}, "rate is missing"),
    (
        {"meta_batch_size": 2, "config": {"rate": 0.2, "net": {"width": 4}, "new": 1}},
        "meta_batch_size is 2, was 4; rate is 0.2, was 0.1; new is new",
    ),
]


def test_a_run_is_resumed_with_the_settings_it_was_started_with(tmp_path):
    """Each other setting is named, and nothing in the folder changes."""
    config = {"rate": 0.1, "net": {"width": 4}}
    train(tmp_path, steps=20, config=config, tx=optimiser())
    files = {path: path.read_bytes() for path in tmp_path.glob("*.json*")}
    for change, message in CHANGED:
        settings = {"steps": 20, "config": config, "tx": optimiser(), "resume": True} | change
        with pytest.raises(ValueError, match=message):
            train(tmp_path, **settings)
        assert {path: path.read_bytes() for path in files} == files
    # The length of calls, the number of devices and the versions decide nothing.
    free = {"config": config | {"versions": "2"}, "steps_per_call": 2, "devices": 2}
    train(tmp_path, steps=20, tx=optimiser(), resume=True, **free)
    assert json.loads((tmp_path / "config.json").read_text()) == config


def test_a_rate_kept_in_the_state_is_compared_too(tmp_path):
    """Restored with the state, another rate would be dropped without a word."""

    def injected(rate):
        return optax.inject_hyperparams(optax.adam)(learning_rate=rate)

    train(tmp_path, steps=10, tx=injected(1e-3))
    train(tmp_path, steps=20, tx=injected(1e-3), resume=True)
    with pytest.raises(ValueError, match="with other settings: tx "):
        train(tmp_path, steps=20, tx=injected(0.5), resume=True)


def test_more_steps_are_taken_over_into_the_config(tmp_path):
    def config(steps, **fields):
        return {"outer": {"steps": steps, "rate": 0.1} | fields}

    train(tmp_path, steps=10, config=config(10))
    with pytest.raises(ValueError, match=r"outer.rate is 0.2, was 0.1"):
        train(tmp_path, steps=20, config=config(20, rate=0.2), resume=True)
    with pytest.raises(ValueError, match=r"outer.steps is 30, was 10"):
        train(tmp_path, steps=20, config=config(30), resume=True)
    train(tmp_path, steps=20, config=config(20), resume=True)
    assert json.loads((tmp_path / "config.json").read_text()) == config(20)
    # A schedule made from the number of steps may go with it, another rate may not.
    cosine = tmp_path / "cosine"
    train(cosine, steps=10, tx=optimiser(falling_over=10))
    with pytest.raises(ValueError, match="tx "):
        train(cosine, steps=20, tx=optimiser(rate=2e-3, falling_over=20), resume=True)
    longer = train(cosine, steps=20, tx=optimiser(falling_over=20), resume=True)
    assert longer.is_complete


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
