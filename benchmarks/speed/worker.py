"""One framework at one workload, in a process of its own.

    python worker.py PEER WORKLOAD FOLDER

Prints a line of JSON when its first step is done, then one for each line it reads: `step` times a
step, `end` gives the peak memory. FOLDER has the weights and episodes (`ours.py` writes them).
"""

import json
import resource
import sys
import time
from pathlib import Path

from workloads import WORKLOADS

LONG = 1.0  # seconds of a step beside which waking the threads is nothing


def main(peer: str, name: str, folder: str) -> None:
    """Serves the command."""
    if peer in ("jaxmeta", "NumPy loader"):
        import ours as side
    elif peer == "jax-meta":
        import jax_meta_peer as side
    else:
        import torch_peers as side
    say(side.package())
    start = time.perf_counter()
    step, per_call = side.build(peer, name, WORKLOADS[name], Path(folder))
    loss, gradient_norm = step()
    say(
        {
            "loss": loss,
            "gradient_norm": gradient_norm,
            "seconds_to_first_step": time.perf_counter() - start,
        }
    )
    seconds = 0.0
    for line in sys.stdin:
        if line.strip() == "end":
            break
        if seconds < LONG:
            step()  # Wakes the threads of this side.
        start = time.perf_counter()
        step()
        seconds = time.perf_counter() - start
        say({"ms": 1e3 * seconds / per_call})
    say({"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024})


def say(message):
    """One line to the command."""
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
