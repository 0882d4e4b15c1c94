"""What of a run is kept as its result, small enough for a repository, to be tested by anyone."""

import json
import shutil
from pathlib import Path

from jaxmeta.runs.folder import CONFIG, TIME
from jaxmeta.runs.metrics import METRICS
from jaxmeta.runs.parameters import MOST_BYTES, OWN, PARAMS, SHA256, content_of, sha256
from jaxmeta.runs.run import load_best, read_config

KEPT = (CONFIG, METRICS, TIME, "evaluation*.json", "*.png", "code/*.py")


def publish(run_dir: str | Path, folder: str | Path) -> list[str]:
    """Copies the results of a run, and its best parameters as safetensors, into a folder.

    `jaxmeta evaluate` of that folder gives the numbers again, without checkpoints; parameters that
    do not have the digest in `evaluation.json` are refused there. Parameters of more than a
    mebibyte are left out.

    Args:
      run_dir: folder of a run that has been evaluated.
      folder: where the results go; files of the same names are replaced.

    Returns the names of the files written.

    Raises:
      FileNotFoundError: there is no run, or no validated checkpoint.
      ValueError: the run has not been evaluated, or before it was trained further.
    """
    run_dir, folder = Path(run_dir), Path(folder)
    _, recipe = read_config(run_dir)
    if run_dir.resolve() == folder.resolve():
        raise ValueError(
            f"the results must go into another folder than that of the run, {run_dir}."
        )
    content = content_of(load_best(run_dir, recipe).params)
    try:
        digest = json.loads((run_dir / OWN).read_bytes())[SHA256]
    except (OSError, ValueError, KeyError, TypeError):
        digest = None
    if digest != sha256(content):
        raise ValueError(
            f"{run_dir / OWN} is not of the best parameters of the run: evaluate it first "
            f"(jaxmeta evaluate {run_dir})."
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PARAMS).unlink(missing_ok=True)
    written = []
    for pattern in KEPT:
        for path in sorted(run_dir.glob(pattern)):
            if pattern.startswith("evaluation") and not _is_of(path, digest):
                continue  # Of parameters before the run was trained further.
            name = path.relative_to(run_dir)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)
            written.append(str(name))
    if len(content) <= MOST_BYTES:
        (folder / PARAMS).write_bytes(content)
        written.append(PARAMS)
    return written


def _is_of(path, digest):
    """Whether an evaluation is of the parameters with that digest."""
    try:
        return json.loads(path.read_bytes()).get(SHA256) == digest
    except (OSError, ValueError, AttributeError):
        return False
