"""`jaxmeta compare RUN RUN...`."""

import csv
import dataclasses
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxmeta import experiments, runs

LATEX = str.maketrans({char: f"\\{char}" for char in "_%&#"} | {"±": r"$\pm$", "<": "$<$"})


@dataclasses.dataclass(frozen=True)
class CompareOptions:
    """Tests runs on the same episodes and says how they differ.

    The mean of each run, and of every pair the mean difference with its 95% interval and the
    p-value of the paired t-test, by Holm's method for more than two runs. Intervals are over
    episodes; how one training differs from the next they do not say.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of two runs or more, of one domain and one setting."""
    n_episodes: int = 2000
    """Episodes, the same for all."""
    seed: int = 0
    """Seed of the episodes, whatever the seeds of the runs."""
    n_way: int | None = None
    """Classes per episode. None: as the recipes say."""
    k_shot: int | None = None
    """Support examples per class. None: as the recipes say."""
    q_queries: int | None = None
    """Queries per class. None: as the recipes say."""
    transductive: bool = False
    """Test with the query set's own batch statistics."""
    split: Literal["meta_train", "meta_val", "meta_test"] = "meta_test"
    """Whose classes are tested."""
    json: bool = False
    """Print the result as JSON and nothing else."""
    out: tuple[Path, ...] = ()
    """Files to write the result to, such as table.csv, table.tex and table.json."""


def main(arguments: Sequence[str]) -> None:
    """`jaxmeta compare RUN RUN...`."""
    options = tyro.cli(CompareOptions, args=arguments, prog="jaxmeta compare")
    for path in options.out:
        if path.suffix not in WRITERS:
            raise ValueError(f"out must end in {', '.join(WRITERS)}, got {path}.")
    for run in options.runs:
        runs.read_config(run)  # A wrong folder is said before anything starts.
    experiments.use_all_cores()
    found = runs.compare(
        options.runs,
        n_episodes=options.n_episodes,
        seed=options.seed,
        n_way=options.n_way,
        k_shot=options.k_shot,
        q_queries=options.q_queries,
        transductive=options.transductive,
        split=options.split,
        report=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(_json(found) if options.json else _text(found), end="")
    for path in options.out:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(WRITERS[path.suffix](found))
        print(f"wrote {path}", file=sys.stderr)


def _text(found):
    """The runs, and the differences of every pair."""
    metric, several = found.of_metric, len(found.differences) > 1
    split = "" if found.split == "meta_test" else f", {found.split}"
    way = ", transductive" if found.transductive else ""
    lines = [
        f"{found.measured}, {found.setting}{split}{way}: {found.n_episodes} episodes of seed "
        f"{found.seed}"
    ]
    width = max(len(run.run) for run in found.runs)
    lines += [f"  {run.run:{width}}  {metric.text(run.mean, run.interval)}" for run in found.runs]
    lines.append("differences, and p of the paired t-test" + (", and by Holm" if several else ""))
    names = [f"{pair.first} - {pair.second}" for pair in found.differences]
    width = max(map(len, names))
    for name, pair in zip(names, found.differences, strict=True):
        text = metric.text(pair.mean, pair.interval)
        corrected = f", {_p(pair.p_holm)}" if several else ""
        lines.append(f"  {name:{width}}  {text}  p {_p(pair.p_value)}{corrected}")
    return "\n".join(lines) + "\n"


def _p(value):
    return f"{value:.2g}" if value >= 1e-4 else "< 0.0001"


def _json(found):
    return json.dumps(found.as_json(), indent=2) + "\n"


def _csv(found):
    """A row for every run and every pair."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["first", "second", "mean", "interval", "p_value", "p_holm", "n_episodes"])
    for run in found.runs:
        writer.writerow([run.run, "", run.mean, run.interval, "", "", found.n_episodes])
    for pair in found.differences:
        writer.writerow([*dataclasses.astuple(pair), found.n_episodes])
    return file.getvalue()


def _latex(found):
    """A tabular of the runs and their differences, the numbers as the metric shows them."""
    text = found.of_metric.text
    head = ("run", f"{found.measured}, {found.n_episodes} episodes", "p", "p by Holm")
    of_runs = [(run.run, text(run.mean, run.interval), "", "") for run in found.runs]
    of_pairs = [
        (f"{p.first} - {p.second}", text(p.mean, p.interval), _p(p.p_value), _p(p.p_holm))
        for p in found.differences
    ]
    lines = [r"\begin{tabular}{lrrr}"]
    for rows in ([head], of_runs, of_pairs):
        lines += [
            *(" & ".join(cell.translate(LATEX) for cell in row) + r" \\" for row in rows),
            r"\hline",
        ]
    return "\n".join([*lines[:-1], r"\end{tabular}"]) + "\n"


WRITERS = {".csv": _csv, ".tex": _latex, ".json": _json}
