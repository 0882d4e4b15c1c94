"""Scalars of a run as TensorBoard events.

A module of its own, for tensorboardX imports torch where that is installed: 3 s that only a run
that writes events should pay.
"""

import os
import time
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2, summary_pb2


class Events:
    """Appends to a new file in `run_dir/events`."""

    def __init__(self, run_dir: Path, *, from_step: int):
        """Opens the file; TensorBoard then drops what was written after `from_step`."""
        # Not SummaryWriter: its thread ends at a full disk, and the run then waits for it for ever.
        (run_dir / "events").mkdir(exist_ok=True)
        # The name holds the second alone, and a file of the same name would be lost.
        suffix = f".{os.getpid()}.{time.time_ns()}"
        self._writer = EventsWriter(str(run_dir / "events" / "events"), suffix)
        if from_step:
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._event(from_step + 1, session_log=start)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Writes one scalar per value."""
        for name, value in values.items():
            scalar = summary_pb2.Summary.Value(tag=name, simple_value=value)
            self._event(step, summary=summary_pb2.Summary(value=[scalar]))
        self._writer.flush()

    def close(self) -> None:
        """Closes the file."""
        self._writer.close()

    def _event(self, step, **content):
        self._writer.write_event(event_pb2.Event(wall_time=time.time(), step=step, **content))
