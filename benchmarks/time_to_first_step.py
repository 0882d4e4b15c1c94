"""Seconds from the start of the command to its first meta-step, with and without kept programs.

    python benchmarks/time_to_first_step.py

Runs `jaxmeta train omniglot-maml-5w1s --steps 20` (one call of the step) twice in each of some
rounds: with an empty folder of compiled programs, and again with what the first one left there. The
images are read from the user's data folder, where the first run ever leaves them ready. Writes
`benchmarks/results/time_to_first_step.json`. Nothing else should run meanwhile.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from jaxmeta.command.program_cache import LEAST_SECONDS

OUT = Path(__file__).parent / "results" / "time_to_first_step.json"


def seconds_to_first_step(recipe, programs):
    """Until the run's first line of metrics."""
    with TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        start = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-m", "jaxmeta", "train", recipe, "--run-dir", run],
            env=os.environ
            | {
                "JAX_COMPILATION_CACHE_DIR": str(programs),
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": str(LEAST_SECONDS),
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            metrics = run / "metrics.jsonl"
            while not (metrics.exists() and metrics.stat().st_size):
                if process.poll() is not None:
                    raise SystemExit(f"jaxmeta train {recipe} ended before its first step.")
                time.sleep(0.05)
            taken = time.perf_counter() - start
            process.kill()
        return taken


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default="omniglot-maml-5w1s")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    found = {"without kept programs": [], "with them": []}
    for _ in range(arguments.rounds):
        with TemporaryDirectory() as programs:
            for name in found:
                found[name].append(seconds_to_first_step(arguments.recipe, programs))
                print(f"{name:22} {found[name][-1]:6.1f} s", flush=True)
    report = {
        "command": f"python benchmarks/time_to_first_step.py --recipe {arguments.recipe}",
        "seconds": {name: round(statistics.median(times), 1) for name, times in found.items()},
        "by_round": {name: [round(each, 1) for each in times] for name, times in found.items()},
        "cores": os.cpu_count(),
    }
    OUT.write_text(json.dumps(report, indent=2) + "\n")
    print(f"wrote {OUT}")


if __name__ == "__main__":
    main()
