"""Runs of two processes that lose one of them at random, go on in one or in two, and are compared.

    python tests/training/processes_lost.py --rounds 10 --out benchmarks/results/processes_lost.json

A process is killed, or stopped without a word, at a random moment of the training. Both must end in
bounded time, and the run, resumed, must be the one that nothing happened to. Half a minute a round
on two cores.
"""

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import jax
import numpy as np
from test_processes import alone, assert_same_run, child_of, ends, start, wait_for

SIGNALS = (signal.SIGKILL, signal.SIGSTOP)
SAVED_AND_TO_BE_RESUMED = 75  # exit status


def lose(rng, run, whole):
    """One round: what was done, and how long the other process lived on."""
    number, victim = SIGNALS[rng.integers(2)], int(rng.integers(2))
    resumed_in = int(rng.integers(1, 3))
    lines = (whole / "metrics.jsonl").read_bytes().count(b"\n")
    processes = start(run)
    wait_for(run, int(rng.integers(1, lines // 2)), processes)  # Well before the end.
    child = child_of(processes[victim])
    os.kill(child, number)
    begin = time.monotonic()
    processes[1 - victim].wait(120)
    seconds = time.monotonic() - begin
    if number == signal.SIGSTOP:
        os.kill(child, signal.SIGKILL)
    ends(processes)
    statuses = [process.returncode for process in processes]
    assert statuses == [SAVED_AND_TO_BE_RESUMED] * 2, statuses
    if resumed_in == 1:
        alone(run, "--resume")
    else:
        processes = start(run, "--resume")
        (_, errors), _ = ends(processes)
        assert [process.returncode for process in processes] == [0, 0], errors
    assert_same_run(run, whole)
    return {
        "signal": number.name,
        "process": victim,
        "the other ended after, s": round(seconds, 1),
        "resumed in": resumed_in,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rounds, losses = [], []
    with tempfile.TemporaryDirectory() as root:
        root = Path(root)
        jax.config.update("jax_compilation_cache_dir", str(root / "cache"))
        alone(root / "whole")
        for number in range(arguments.rounds):
            rng = np.random.default_rng([arguments.seed, number])
            try:
                rounds.append(lose(rng, root / str(number), root / "whole"))
                print(rounds[-1], flush=True)
            except AssertionError:
                losses.append(f"round {number}: {traceback.format_exc()}")
    result = {
        "command": f"python tests/training/processes_lost.py --rounds {arguments.rounds} "
        f"--seed {arguments.seed} --out benchmarks/results/processes_lost.json",
        "processes_lost": arguments.rounds,
        "runs_lost": len(losses),
        "rounds": rounds,
        "versions": {"jax": jax.__version__, "python": platform.python_version()},
    }
    print(*losses, sep="\n")
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(bool(losses))


if __name__ == "__main__":
    main()
