"""Two real processes over loopback, against one."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxmeta import experiments, runs
from jaxmeta.command import cli, train
from jaxmeta.runs import read_metrics
from jaxmeta.training.processes import join

COMMAND = (
    *("train", "sinusoid-maml", "--steps", "100", "--steps-per-call", "5"),
    *("--validate-every", "20", "--validation-episodes", "4", "--test-episodes", "4"),
    *("--curve-episodes", "2", "--hidden", "8", "--meta-batch-size", "4"),
    *("--test-inner-steps", "1"),
)
LIMIT = 120  # seconds, on a machine that does other things as well


def start(run_dir, *more):
    """Processes 0 and 1 of the command, each under the parent that explains."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    environment |= {
        "JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir),
        "JAXMETA_HEARTBEAT": "10",
    }
    where = ("--run-dir", str(run_dir), "--distributed", address, "--processes", "2")
    return [
        subprocess.Popen(
            [sys.executable, "-m", "jaxmeta", *COMMAND, *where, "--process", str(number), *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for number in range(2)
    ]


def child_of(parent):
    """Id of the process that trains."""
    text = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text()
    return int(text.split()[0])


def wait_for(run_dir, lines, processes):
    path = run_dir / "metrics.jsonl"
    until = time.monotonic() + LIMIT
    while not path.exists() or path.read_bytes().count(b"\n") < lines:
        assert time.monotonic() < until and all(process.poll() is None for process in processes)
        time.sleep(0.01)


def ends(processes):
    return [process.communicate(timeout=LIMIT) for process in processes]


def alone(run_dir, *more):
    """The same command in this one process, up to the meta-test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiments, "use_all_cores", lambda: None)
        patch.setattr(train, "test", lambda run_dir: None)
        cli.main([*COMMAND, "--run-dir", str(run_dir), *more])


def assert_same_run(one, other):
    """The same steps and numbers, up to the order of sums of four float32 numbers."""
    for a, b in zip(read_metrics(one), read_metrics(other), strict=True):
        assert a.keys() == b.keys() and a["step"] == b["step"]
        np.testing.assert_allclose(list(a.values()), list(b.values()), rtol=1e-3)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    run = tmp_path_factory.mktemp("processes") / "whole"
    alone(run)
    return run


def test_two_processes_of_which_one_is_killed_and_the_run_goes_on_in_one(tmp_path, whole):
    run = tmp_path / "run"
    processes = start(run)
    wait_for(run, 12, processes)
    os.kill(child_of(processes[1]), signal.SIGKILL)
    killed = time.monotonic()
    (_, errors), (_, others) = ends(processes)
    assert time.monotonic() - killed < 60
    assert [process.returncode for process in processes] == [75, 75]
    assert "(by SIGKILL)" in others and "--process 1 --resume" in others
    assert "To go on" in errors and "--process 0 --resume" in errors
    assert "Traceback" not in errors + others
    done = len(read_metrics(run))
    assert 12 <= done < len(read_metrics(whole))
    alone(run, "--resume")
    assert_same_run(run, whole)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGTERM], ids=lambda n: n.name)
@pytest.mark.parametrize("victim", [0, 1])
def test_two_processes_go_on_in_two(tmp_path, whole, number, victim):
    """One that hangs is given up after the heartbeat; one told to stop takes the other with it."""
    run = tmp_path / "run"
    processes = start(run)
    wait_for(run, 12, processes)
    child = child_of(processes[victim])
    os.kill(child, number)
    stopped = time.monotonic()
    if number == signal.SIGSTOP:
        processes[1 - victim].wait(LIMIT)
        os.kill(child, signal.SIGKILL)
    (out, errors), (_, others) = ends(processes)
    assert time.monotonic() - stopped < 90
    if number == signal.SIGTERM:
        assert [process.returncode for process in processes] == [130, 130]
        assert "all saved" in out
    else:
        assert [process.returncode for process in processes] == [75, 75]
        assert "To go on" in errors and "To go on" in others
    processes = start(run, "--resume")
    (_, errors), (out, _) = ends(processes)
    assert [process.returncode for process in processes] == [0, 0], errors
    assert "inductive" not in out  # The first process alone prints and writes.
    assert_same_run(run, whole)
    found = json.loads((run / "evaluation.json").read_text())["inductive"]["mean"]
    expected = runs.evaluate_run(whole)["inductive"]["mean"]
    np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("auto",), "distributed='auto' finds no cluster here"),
        (("auto", 0), "process is found by itself with 'auto', got 0"),
        (("localhost:1234",), "process must be given with a coordinator host:port"),
        (("localhost:1234", 2, 2), "process must be in 0..1, got 2"),
        (("localhost", 0, 2), "distributed must be 'auto' or host:port, got 'localhost'"),
    ],
)
def test_a_cluster_that_is_not_there(arguments, message, monkeypatch):
    def nothing_found(*_, **__):
        raise ValueError("coordinator_address should be defined")

    monkeypatch.setattr(jax.distributed, "initialize", nothing_found)
    with pytest.raises(ValueError, match=message.replace("..", r"\.\.")):
        join(*arguments)
