"""Metrics of a run: JSON lines that a resumed run continues, and TensorBoard events."""

import json
import os
from pathlib import Path

from tensorboardX import SummaryWriter


class Metrics:
    """Appends records to `metrics.jsonl` and `events/` of a run folder.

    A record depends on the run alone, never on the clock, so a resumed run writes the same lines.
    """

    def __init__(self, run_dir: str | Path, *, from_step: int):
        """Opens the files, dropping what was written after `from_step`."""
        run_dir = Path(run_dir)
        path = run_dir / "metrics.jsonl"
        self.records = [record for record in read_metrics(run_dir) if record["step"] <= from_step]
        repaired = path.with_suffix(".tmp")
        repaired.write_text("".join(json.dumps(record) + "\n" for record in self.records))
        os.replace(repaired, path)
        self._file = path.open("a")
        self._events = SummaryWriter(
            str(run_dir / "events"), purge_step=from_step + 1 if from_step else None
        )

    def write(self, step: int, **values: float) -> None:
        """Writes one record; it is on disk when this returns."""
        self.records.append({"step": step, **values})
        self._file.write(json.dumps(self.records[-1]) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        for name, value in values.items():
            self._events.add_scalar(name, value, step)

    def close(self) -> None:
        """Closes the files."""
        self._file.close()
        self._events.close()


def read_metrics(run_dir: str | Path) -> list[dict]:
    """The records of a run folder, oldest first; a half-written last line is left out."""
    path = Path(run_dir) / "metrics.jsonl"
    records: list[dict] = []
    if not path.exists():
        return records
    for line in path.read_text().splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records
