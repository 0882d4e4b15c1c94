"""The parent of a process that trains together with others: says what happened when one is lost.

JAX ends a process whose companion no longer answers by a signal, so the process itself cannot
explain. Its parent can, and hands on the signals that it gets.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import NoReturn

SUPERVISED = "JAXMETA_SUPERVISED"
LOST = 75  # exit status for "try again later", EX_TEMPFAIL of sysexits.h


def is_supervised() -> bool:
    """Whether this process is such a child."""
    return SUPERVISED in os.environ


def leave(error: Exception) -> NoReturn:
    """Ends this child at once: the usual way out would wait for the companion that is lost."""
    print(f"jaxmeta: {str(error).strip().splitlines()[0][:300]}", file=sys.stderr, flush=True)
    os._exit(LOST)


def supervise(arguments: Sequence[str]) -> int:
    """Runs the command in a child; returns the exit status."""
    child = subprocess.Popen(
        [sys.executable, "-m", "jaxmeta", *arguments], env=os.environ | {SUPERVISED: "1"}
    )

    def hand_on(number, frame):
        del frame
        child.send_signal(number)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        status = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if status >= 0 and status != LOST:
        return status
    how = "another process was lost" if status == LOST else f"by {signal.Signals(-status).name}"
    again = " ".join(word for word in arguments if word != "--resume")
    again += "" if arguments[0] == "resume" else " --resume"
    print(
        f"jaxmeta: this process has ended ({how}); where one is lost, the others end too. What is "
        "up to the last checkpoint is saved. To go on, in every process anew:\n"
        f"  jaxmeta {again}\n"
        "or in one process, without --distributed, --process and --processes.",
        file=sys.stderr,
        flush=True,
    )
    return LOST
