"""Runs that are killed, cut off and damaged at random, resumed, and compared to the bit.

A chain is one training run that meets faults until it has had its share, is then left to end, and
must have the metrics, the last state and the best parameters of a run that nothing happened to.
Each leg of it is a real process, forked from one that has imported everything.

    python tests/runs/faults.py --faults 300 --out benchmarks/results/faults.json

takes some minutes on two cores. `tests/runs/test_faults.py` runs a few chains.
"""

import argparse
import collections
import contextlib
import json
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import jax
import numpy as np
import optax

import jaxmeta
from jaxmeta.runs import fit
from jaxmeta.runs.checkpoints import Checkpoints
from jaxmeta.training import Validation

SAMPLE = jaxmeta.tasks.sinusoid(k_shot=3, q_queries=3)
STEPS, EVERY = 240, 12
ENDS = {
    0: "reached its end, or stopped and saved",
    -signal.SIGKILL: "killed",
    -signal.SIGTERM: "terminated before training began",
    2: "stopped: could not write",
}
OTHERWISE = 3  # exit status of a leg that ended with an exception nobody expected
FULL = 2  # exit status of a leg that said it could not write
CONFIG = {"recipe": "none", "fields": {"steps": STEPS}}


def train(run_dir):
    """Second-order MAML on sinusoids, a checkpoint and a validation every few milliseconds."""
    net = jaxmeta.networks.mlp(1, hidden=(4,), kernel_init=jax.nn.initializers.glorot_normal())
    return fit(
        jaxmeta.maml(net, inner_steps=1, loss_fn=optax.squared_error),
        optax.adam(1e-2),
        SAMPLE,
        key=jax.random.key(0),
        steps=STEPS,
        meta_batch_size=2,
        run_dir=run_dir,
        validation=Validation(
            SAMPLE,
            every=EVERY,
            n_episodes=3,
            metric=jaxmeta.losses.squared_error,
            is_better=float.__lt__,
        ),
        resume=True,
        steps_per_call=4,
        config=CONFIG,
        show_progress=False,
    )


def fingerprint(run_dir):
    """What must not depend on what happened on the way."""
    checkpoints = Checkpoints(run_dir)
    net = jaxmeta.networks.mlp(1, hidden=(4,))
    learner = jaxmeta.maml(net, inner_steps=1, loss_fn=optax.squared_error)
    like = jaxmeta.init_state(jax.random.key(9), learner, optax.adam(1e-2), SAMPLE)
    found = checkpoints.resume(like, like.params)
    arrays = [found.state, found.best, checkpoints.restore_best(like.params)]
    checkpoints.close()
    return {
        "step": found.step,
        "arrays": [np.asarray(leaf).tobytes().hex() for leaf in jax.tree.leaves(arrays)],
        "metrics": (run_dir / "metrics.jsonl").read_text(),
        "records": [json.dumps(record) for record in found.record["records"]],
        "config": json.loads((run_dir / "config.json").read_text()),
    }


def leg(run_dir, prepare=lambda: None):
    """Forks a process that trains; returns its id."""
    child = os.fork()
    if child:
        return child
    status = OTHERWISE
    try:
        with (run_dir.parent / "stderr.txt").open("a") as errors:
            os.dup2(errors.fileno(), 2)
            warnings.simplefilter("ignore")
            prepare()
            try:
                train(run_dir)
                status = 0
            except OSError:
                status = FULL
            except BaseException:
                traceback.print_exc()
    finally:
        os._exit(status)


def ended(child, limit=120):
    """Exit status, negative for a signal."""
    until = time.monotonic() + limit
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise TimeoutError(f"a leg had not ended after {limit} seconds.")


def killed_at_an_operation(rng, run_dir):
    """SIGKILL as a file is opened, renamed, removed: between any two writes of Python's."""
    events = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.listdir", "shutil.move"}
    last = int(10 ** rng.uniform(0, 2.5))
    count = 0

    def hook(event, arguments):
        nonlocal count
        if event in events and str(run_dir) in str(arguments[0]):
            count += 1
            if count == last:
                os.kill(os.getpid(), signal.SIGKILL)

    return ended(leg(run_dir, lambda: sys.addaudithook(hook)))


def signalled(number):
    """A signal at a random moment after the first metrics of this leg."""

    def fault(rng, run_dir):
        path = run_dir / "metrics.jsonl"
        before = path.stat().st_mtime_ns if path.exists() else 0
        child = leg(run_dir)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            if path.exists() and path.stat().st_mtime_ns != before:
                break
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.5))
        os.kill(child, number)
        return ended(child)

    return fault


def limited(rng, run_dir):
    """No file may grow past a few kilobytes: writes fail half-way, as on a full disk."""
    limit = int(10 ** rng.uniform(1, 4.5))
    return ended(leg(run_dir, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))))


def files(run_dir):
    return sorted(path for path in run_dir.rglob("*") if path.is_file() and path.name != ".lock")


def newest(run_dir):
    folders = [path for path in run_dir.glob("checkpoints/last/*") if path.name.isdecimal()]
    return max(folders, key=lambda path: int(path.name), default=None)


def chosen(rng, run_dir):
    """A file of the newest checkpoint, of the best parameters, or of the rest of the folder."""
    folder = newest(run_dir)
    inside = files(folder) if folder else []
    rest = [path for path in files(run_dir) if "last" not in path.parts]
    among = inside if inside and rng.random() < 0.6 else rest
    return among[rng.integers(len(among))] if among else None


def truncated(rng, run_dir):
    if path := chosen(rng, run_dir):
        os.truncate(path, int(rng.integers(0, path.stat().st_size + 1)))


def zeroed(rng, run_dir):
    """The end of a file reads as zeros, as after a loss of power."""
    if path := chosen(rng, run_dir):
        size = path.stat().st_size
        os.truncate(path, int(rng.integers(0, size + 1)))
        os.truncate(path, size)


def flipped(rng, run_dir):
    """One bit is another."""
    if (path := chosen(rng, run_dir)) and path.stat().st_size:
        content = bytearray(path.read_bytes())
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)


def removed(rng, run_dir):
    if path := chosen(rng, run_dir):
        path.unlink()


def half_a_checkpoint(rng, run_dir):
    """The newest checkpoint under its final name with only some of its files."""
    folder = newest(run_dir)
    for path in files(folder) if folder else []:
        if rng.random() < 0.5:
            path.unlink()


def torn_metrics(rng, run_dir):
    """Half a line, or noise, at the end of the metrics."""
    path = run_dir / "metrics.jsonl"
    if path.exists():
        with path.open("ab") as file:
            file.write(rng.bytes(20) if rng.random() < 0.5 else b'{"step": 12, "lo')


KILLS = {
    "SIGKILL between two file operations": killed_at_an_operation,
    "SIGKILL at a random moment": signalled(signal.SIGKILL),
    "SIGTERM at a random moment": signalled(signal.SIGTERM),
    "writes fail past a limit": limited,
}
DAMAGES = {
    "a file truncated": truncated,
    "the end of a file zeroed": zeroed,
    "a bit flipped": flipped,
    "a file removed": removed,
    "a checkpoint with half of its files": half_a_checkpoint,
    "torn metrics": torn_metrics,
}


@contextlib.contextmanager
def small_disk(folder, size="4m"):
    """A file system of its own, that can be filled; None where it may not be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def full_disk(rng, folder):
    """The disk is full before the run ends; with room again it goes on. Returns its status."""
    free = os.statvfs(folder)
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(max(free.f_bavail * free.f_frsize - int(rng.integers(0, 2**17)), 0)))
    try:
        return ended(leg(folder / "run"))
    finally:
        ballast.unlink()


def chain(root, rng, faults, counts, ends):
    """One run with so many faults; returns its folder, the run ended."""
    run_dir = root / "run"
    run_dir.mkdir(parents=True)
    kinds = [*KILLS, *DAMAGES]
    for _ in range(faults):
        name = kinds[rng.integers(len(kinds))]
        counts[name] += 1
        if name in KILLS:
            status = KILLS[name](rng, run_dir)
            ends[ENDS.get(status, "unexpected")] += 1
            allowed = {0, -signal.SIGKILL, -signal.SIGTERM, FULL}
            if status not in allowed:
                raise AssertionError(f"{name}: {status}\n{(root / 'stderr.txt').read_text()}")
        else:
            if not newest(run_dir):  # Something to damage.
                KILLS["SIGTERM at a random moment"](rng, run_dir)
            DAMAGES[name](rng, run_dir)
    status = ended(leg(run_dir))
    if status:
        raise AssertionError(f"the last leg: {status}\n{(root / 'stderr.txt').read_text()}")
    return run_dir


def fingerprint_of(run_dir):
    """`fingerprint` in a process of its own: the one that forks must not have started JAX."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        status = OTHERWISE
        try:
            with open(writer, "w") as file:
                json.dump(fingerprint(run_dir), file)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader) as file:
        content = file.read()
    assert ended(child) == 0
    return json.loads(content)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=300)
    parser.add_argument("--per-chain", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    started = time.monotonic()
    counts, ends, lost, chains = collections.Counter(), collections.Counter(), [], 0
    with tempfile.TemporaryDirectory() as root:
        root = Path(root)
        cache = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(root / "cache"))
        jax.config.update("jax_compilation_cache_dir", cache)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
        expected = fingerprint_of(chain(root / "whole", None, 0, counts, ends))
        while counts.total() < arguments.faults:
            number = min(arguments.per_chain, arguments.faults - counts.total())
            rng = np.random.default_rng([arguments.seed, chains])
            try:
                run_dir = chain(root / str(chains), rng, number, counts, ends)
                if fingerprint_of(run_dir) != expected:
                    lost.append(f"chain {chains}: other bits")
            except (AssertionError, TimeoutError) as error:
                lost.append(f"chain {chains}: {error}")
            shutil.rmtree(root / str(chains))
            chains += 1
            if sys.stderr.isatty():
                print(f"\r{counts.total()} faults, {len(lost)} losses", end="", file=sys.stderr)
        with small_disk(root / "disk") as disk:
            rng = np.random.default_rng([arguments.seed, 2**20])
            statuses = []
            for _ in range(arguments.faults // 10 if disk else 0):
                statuses.append(full_disk(rng, disk))
                ends[ENDS.get(statuses[-1], "unexpected")] += 1
                counts["the disk full"] += 1
                if statuses[-1] not in (0, FULL):
                    lost.append(f"full disk: {statuses[-1]}")
                if statuses[-1] == 0 or rng.random() < 0.3:
                    status = ended(leg(disk / "run"))
                    if status:
                        lost.append(f"full disk, then room: {status}")
                    elif fingerprint_of(disk / "run") != expected:
                        lost.append("full disk: other bits")
                    shutil.rmtree(disk / "run")
    result = {
        "command": f"python tests/runs/faults.py --faults {arguments.faults} "
        f"--seed {arguments.seed} --out benchmarks/results/faults.json",
        "faults": dict(sorted(counts.items())),
        "total": counts.total(),
        "legs ended": dict(sorted(ends.items())),
        "runs": chains,
        "losses": len(lost),
        "seconds": round(time.monotonic() - started),
        "versions": {"jax": jax.__version__, "python": platform.python_version()},
    }
    print(json.dumps(result, indent=2))
    for line in lost:
        print(line)
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(bool(lost))


if __name__ == "__main__":
    main()
