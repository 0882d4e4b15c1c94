"""Metrics of a run: JSON lines that a resumed run continues, and TensorBoard events."""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

from jaxmeta.runs.trackers import Sink

METRICS = "metrics.jsonl"


class Metrics:
    """Appends records to `metrics.jsonl` and `events/` of a run folder.

    A record depends on the run alone, never on the clock, so a resumed run writes the same lines.
    """

    def __init__(
        self,
        run_dir: str | Path,
        *,
        from_step: int,
        records: list[dict] | None = None,
        sinks: Sequence[Sink] = (),
    ):
        """Opens the files, dropping what was written after `from_step`.

        Args:
          run_dir: folder of the run.
          from_step: the step that the run goes on from.
          records: the records until then, which the file is to hold whatever it holds now; by
            default those in the file.
          sinks: further places that take the metrics, such as a `trackers.tracker`.
        """
        run_dir = Path(run_dir)
        path = run_dir / METRICS
        records = read_metrics(run_dir) if records is None else records
        self.records = [record for record in records if record["step"] <= from_step]
        repaired = path.with_suffix(".tmp")
        with repaired.open("w") as file:
            file.write("".join(json.dumps(record) + "\n" for record in self.records))
            file.flush()
            os.fsync(file.fileno())
        os.replace(repaired, path)
        from jaxmeta.runs.events import Events  # Its imports take seconds; only runs need it.

        self._events = Events(run_dir, from_step=from_step)
        self._sinks = sinks
        self._file = path.open("a")

    def write(self, step: int, **values: float) -> None:
        """Writes one record; it is on disk when this returns."""
        self.records.append({"step": step, **values})
        self._file.write(json.dumps(self.records[-1]) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._events.write(step, values)
        for sink in self._sinks:
            sink.write(step, values)

    def close(self) -> None:
        """Closes the files."""
        for close in (self._file.close, self._events.close, *(sink.close for sink in self._sinks)):
            try:
                close()
            except OSError:  # A full disk, which the write before has said.
                pass


def read_metrics(run_dir: str | Path) -> list[dict]:
    """The records of a run folder, oldest first, up to the first line that is not whole."""
    path = Path(run_dir) / METRICS
    records: list[dict] = []
    if not path.exists():
        return records
    for line in path.read_bytes().splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not _is_record(record):
            break
        records.append(record)
    return records


def _is_record(record):
    return (
        isinstance(record, dict)
        and isinstance(record.get("step"), int)
        and all(isinstance(value, float) or value == record["step"] for value in record.values())
        and all(math.isfinite(value) for value in record.values())
    )
