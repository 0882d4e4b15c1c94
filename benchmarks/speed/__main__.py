"""Speed of a meta-step against every peer that installs, in one run.

    python benchmarks/speed
    python benchmarks/speed --workloads conv4-4 prototypical --rounds 9   (the others' results stay)

The command makes an environment for the peers once (`benchmarks/speed/.environment`); a peer that
does not install is a line of the report that says why. Each side is a process of its own, with the
same weights and the same first episodes, and as many threads as there are cores. Rounds go through
the sides in turn; each times its second step of two. The first step's loss and gradient norm must
agree across sides to 1e-3. jaxmeta has its memory in huge pages, as under its command, the peers as
they come; one more line says what the same setting does for PyTorch.

Prints, and writes to `benchmarks/results/speed.json`: median milliseconds of a meta-step, how many
times faster jaxmeta is, peak resident memory, seconds from start to the end of the first step
(compilation, for jaxmeta), and the arithmetic of the mathematics per second as a share of the
float32 matrix product's rate on this machine, before or after. Takes about 20 minutes on two
cores, most of it conv4-16 and conv4-84. Nothing else should run meanwhile.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import environment
import numpy as np
from workloads import WORKLOADS, Workload

from jaxmeta.command import huge_pages

HERE = Path(__file__).parent
TOLERANCE = 1e-3
HUGE_PAGES = ", huge pages"  # ends the name of a peer that has the memory setting of our command
PEERS_OF = {
    "maml": ("torch loop", "torch.func", "higher", "TorchOpt", "learn2learn"),
    "prototypical": ("torch loop", "easyfsl"),
    "mann": ("torch loop",),
    "hypertransformer": (),  # The authors' code is for TensorFlow 1.
    "sampling": ("NumPy loader",),
}
TOO_SLOW = {"jax-meta": ("conv4-16", "conv4-84")}  # half a minute a step and more
SECOND_ORDER_ONLY = ("TorchOpt", "jax-meta")


class Side:
    """A worker process."""

    def __init__(self, peer, name, folder, python):
        self.peer = peer
        variables = huge_pages.environment() if peer == "jaxmeta" or HUGE_PAGES in peer else {}
        self.process = subprocess.Popen(
            [python, HERE / "worker.py", peer.removesuffix(HUGE_PAGES), name, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | variables,
        )
        self.package = self._read()
        self.first = self._read()
        self.times = []

    def _read(self):
        line = self.process.stdout.readline()
        if not line:
            error = self.process.stderr.read().strip().splitlines() or ["no message"]
            raise RuntimeError(f"{self.peer}: {error[-1]}")
        return json.loads(line)

    def _ask(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self._read()

    def time(self):
        """One more round."""
        self.times.append(self._ask("step")["ms"])

    def end(self):
        """All that is known of it."""
        peak = self._ask("end")["peak_mib"]
        self.process.wait()
        return {
            "ms": round(statistics.median(self.times), 3),
            "ms_by_round": [round(t, 3) for t in self.times],
            "peak_mib": round(peak),
            "first_step": self.first,
            "package": self.package,
        }


def peers_of(workload: Workload) -> tuple[str, ...]:
    """Those that can do this work."""
    peers = PEERS_OF[workload.kind]
    if workload.kind in ("maml", "prototypical") and workload.side:
        peers += ("torch loop" + HUGE_PAGES,)
    if workload.kind == "maml" and workload.side:  # jax-meta's MAML only classifies.
        peers += ("jax-meta",)
    if workload.first_order:
        peers = tuple(peer for peer in peers if peer not in SECOND_ORDER_ONLY)
    return peers


def compare(name: str, workload: Workload, peers: dict, missing: dict, rounds: int) -> dict:
    """One workload on all sides."""
    result = {"about": workload.about, "rounds": rounds, "sides": {}, "missing": {}}
    with TemporaryDirectory() as folder:
        sides = [Side("jaxmeta", name, folder, sys.executable)]
        for peer in peers_of(workload):
            program = peer.removesuffix(HUGE_PAGES)
            if name in TOO_SLOW.get(peer, ()):
                result["missing"][peer] = "left out, too slow: see conv4-4"
            elif program in missing:
                result["missing"][peer] = missing[program]
            elif program in peers:
                try:
                    sides.append(Side(peer, name, folder, peers[program]))
                except RuntimeError as failure:
                    result["missing"][peer] = f"fails: {failure}"
        for side in sides[1:]:
            check(name, sides[0], side)
        for done in range(rounds):
            print(f"\r{name}: round {done + 1} of {rounds}", end="", flush=True)
            for side in list(sides):
                try:
                    side.time()
                except RuntimeError as failure:  # Memory has run out, most likely.
                    sides.remove(side)
                    result["missing"][side.peer] = f"was ended in round {done + 1}: {failure}"
        print("\r", end="")
        result["sides"] = {side.peer: side.end() for side in sides}
    ours = result["sides"]["jaxmeta"]["ms"]
    for side in result["sides"].values():
        side["times_ours"] = round(side["ms"] / ours, 2)
    return result


def check(name, ours, theirs):
    """Equal work: the first step's loss and gradient norm."""
    for what in ("loss", "gradient_norm"):
        one, other = ours.first[what], theirs.first[what]
        if abs(one - other) > TOLERANCE * max(abs(one), abs(other)):
            raise SystemExit(f"{name}: {what} is {one} in jaxmeta and {other} in {theirs.peer}.")


def matmul_rate() -> float:
    """Operations per second of NumPy's float32 2048x2048 matrix product, the best of ten."""
    a, b = np.random.default_rng(0).normal(size=(2, 2048, 2048)).astype(np.float32)
    best = min(_seconds(lambda: a @ b) for _ in range(10))
    return 2 * 2048**3 / best


def _seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def lines(result: dict) -> list[str]:
    """One workload, for people."""
    out = [f"{result['about']} (matrix product: {result['matmul_gflops']:.0f} GFLOP/s)"]
    for peer, side in result["sides"].items():
        first = side["first_step"]
        share = side.get("share_of_matmul")
        out.append(
            f"  {peer:22} {side['ms']:10.2f} ms  {side['times_ours']:6.2f} x  "
            f"{side['peak_mib']:6} MiB  first step {first['seconds_to_first_step']:6.1f} s  "
            f"{'' if share is None else f'{share:4.0%} of the matrix product'}"
        )
    return out + [f"  {peer:22} {why}" for peer, why in result["missing"].items()]


def main():
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=9, help="of each side (default: 9)")
    parser.add_argument("--peers", nargs="*", default=None, help="only these (default: all)")
    parser.add_argument("--environment", type=Path, default=HERE / ".environment")
    parser.add_argument("--out", type=Path, default=HERE.parent / "results" / "speed.json")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds must be 1 or more")
    peers, missing = environment.create(arguments.environment)
    peers["NumPy loader"] = sys.executable
    if arguments.peers is not None:
        peers = {peer: peers[peer] for peer in arguments.peers if peer in peers}
    results = json.loads(arguments.out.read_text())["results"] if arguments.out.exists() else {}
    for name in arguments.workloads:
        workload = WORKLOADS[name]
        rate = matmul_rate()
        results[name] = compare(name, workload, peers, missing, arguments.rounds)
        rate = max(rate, matmul_rate())  # A shared machine may be slower for a while.
        results[name]["matmul_gflops"] = round(rate / 1e9, 1)
        operations = workload.arithmetic()
        if operations is not None:
            for side in results[name]["sides"].values():
                side["share_of_matmul"] = round(operations / (1e-3 * side["ms"]) / rate, 3)
        print("\n".join(lines(results[name])), flush=True)
        report = {
            "command": "python benchmarks/speed",
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "results": dict(
                sorted(results.items(), key=lambda pair: list(WORKLOADS).index(pair[0]))
            ),
        }
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=2) + "\n")
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
