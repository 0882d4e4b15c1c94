"""Where the time of a second-order meta-step goes, by JAX's profiler.

    python benchmarks/speed/profile_step.py
    python benchmarks/speed/profile_step.py --workload prototypical

Traces calls of the step that `benchmarks/speed` times (`conv4-4`: MAML, Conv4-64, 5-way 1-shot, 5
inner steps, 4 tasks, a device per core) and adds up the time of its operations by what they are
for. Writes `benchmarks/results/profile_step.json`, of other workloads with their name;
`--keep FOLDER` keeps the trace for a viewer. Takes a minute.
"""

import argparse
import collections
import gzip
import json
import os
import re
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from jaxmeta.command.huge_pages import restart_with_huge_pages

CALLS = 5
PARTS = {  # the first pattern found in an operation's name, or in what it is made from
    "gradients of kernels": r"kernel-shaped",
    "convolutions": r"conv_general_dilated",
    "matrix products": r"dot_general",
    "normalisation: sums": r"norm/.*reduce_sum|norm/.*reduce",
    "normalisation: the rest": r"norm/",
    "transposed copies": r"/transpose$",
    "pooling, ReLU, copies": r"block_",
}
REST = "the rest"
RESULTS = Path(__file__).parents[1] / "results"
USUAL = "conv4-4"


def operations(text):
    """Name in the trace to what JAX calls it, from a compiled program."""
    found = {}
    for line in text.splitlines():
        if named := re.match(r"\s*(?:ROOT )?%([\w.\-]+) = (\S+)", line):
            name, shape = named.groups()
            origin = re.search(r'op_name="([^"]*)"', line)
            about = origin[1] if origin else ""
            if "conv_general_dilated" in about and re.match(r"f32\[\d+,3,3,\d+\]", shape):
                about += " kernel-shaped"
            found[name] = about
    return found


def part_of(about):
    return next((part for part, pattern in PARTS.items() if re.search(pattern, about)), REST)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workload", default=USUAL)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    restart_with_huge_pages()
    with TemporaryDirectory() as programs, TemporaryDirectory() as folder:
        # XLA reads its flags as JAX first computes.
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_dump_to={programs} --xla_dump_hlo_as_text"
        report = profile(arguments.workload, Path(programs), arguments.keep or Path(folder))
    for name, row in report["parts"].items():
        print(f"{name:26} {row['ms']:8.1f} ms {row['share']:5.0%} {row['operations']:7}")
    print(f"a step takes {report['ms']:.1f} ms on {report['devices']} devices")
    of_which = "" if arguments.workload == USUAL else f"_{arguments.workload}"
    out = RESULTS / f"profile_step{of_which}.json"
    out.write_text(json.dumps(report, indent=2) + "\n")
    print(f"wrote {out}")


def profile(name, programs, folder):
    """Milliseconds of a step by part, over all devices."""
    import jax
    import optax
    import ours
    from workloads import WORKLOADS

    import jaxmeta

    ours.package()
    workload = WORKLOADS[name]
    learner, sample, policy = ours.learner_and_tasks(workload)
    tx = optax.adam(ours.OUTER_LR)
    state = jaxmeta.init_state(jax.random.key(0), learner, tx, sample)
    step = jaxmeta.make_step(learner, tx, sample, meta_batch_size=workload.tasks, **policy)
    for _ in range(2):
        state, _ = jax.block_until_ready(step(state, jax.random.key(1)))
    start = time.perf_counter()
    with jax.profiler.trace(folder):
        for _ in range(CALLS):
            state, _ = jax.block_until_ready(step(state, jax.random.key(1)))
        wall = time.perf_counter() - start
    texts = programs.glob("*jit_run*cpu_after_optimizations.txt")
    known = operations(max((text.read_text() for text in texts), key=len))
    (trace,) = folder.glob("**/*.trace.json.gz")
    times, counts = collections.Counter(), collections.Counter()
    for event in json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]:
        if event.get("ph") == "X" and event["name"] in known:
            if event["name"].startswith(("while", "call", "conditional")):
                continue  # Their operations are counted one by one.
            part = part_of(known[event["name"]])
            times[part] += 1e-3 * event["dur"] / CALLS
            counts[part] += 1
    total = sum(times.values())
    return {
        "command": f"python benchmarks/speed/profile_step.py --workload {name}",
        "work": workload.about,
        "ms": round(1e3 * wall / CALLS, 1),
        "devices": policy.get("devices", 1),
        "parts": {
            part: {
                "ms": round(ms, 1),
                "share": round(ms / total, 3),
                "operations": counts[part] // CALLS,
            }
            for part, ms in times.most_common()
        },
        "jax": jax.__version__,
    }


if __name__ == "__main__":
    main()
