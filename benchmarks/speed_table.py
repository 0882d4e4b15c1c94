"""The tables of speeds, from `benchmarks/results/speed.json`.

    python benchmarks/speed_table.py

Prints README's headline and the table of `docs/performance.md`.
"""

import json
from pathlib import Path

PATH = Path(__file__).parent / "results" / "speed.json"
PYTORCH = ("torch loop", "torch.func", "higher", "TorchOpt", "easyfsl")
HUGE_PAGES = "torch loop, huge pages"
HEAD = (
    "| workload | jaxmeta, ms | of the matrix product | fastest PyTorch, ms | times faster | "
    "the others |\n|---|---|---|---|---|---|"
)

HEADLINE_HEAD = "| meta-step | jaxmeta, ms | fastest PyTorch, ms | times |\n|---|---|---|---|"
HEADLINE = {
    "sinusoid-1": "MAML on sinusoids, 25 tasks, 1 inner step",
    "conv4-16": "MAML, second order, Conv4-64, 16 tasks",
    "conv4-16-first-order": "MAML, first order, Conv4-64, 16 tasks",
    "mann": "MANN, 16 streams of 50 steps",
    "prototypical": "prototypical networks, Conv4-64, 1 task",
}


def headline() -> str:
    """Rows in Markdown: against the fastest PyTorch program, whatever its memory setting."""
    results = json.loads(PATH.read_text())["results"]
    rows = [HEADLINE_HEAD]
    for name, about in HEADLINE.items():
        sides = results[name]["sides"]
        ours = sides["jaxmeta"]["ms"]
        fastest = min(sides[peer]["ms"] for peer in (*PYTORCH, HUGE_PAGES) if peer in sides)
        rows.append(f"| {about} | {ours:.1f} | {fastest:.1f} | {fastest / ours:.2f} |")
    return "\n".join(rows)


def table() -> str:
    """Rows of workloads in Markdown."""
    return "\n".join([HEAD, *map(_row, json.loads(PATH.read_text())["results"].values())])


def _row(result):
    sides = dict(result["sides"])
    ours = sides.pop("jaxmeta")
    share = ours.get("share_of_matmul")
    fastest = min(
        (peer for peer in sides if peer in PYTORCH),
        key=lambda peer: sides[peer]["ms"],
        default=None,
    )
    cells = [result["about"], f"{ours['ms']:.2f}", "" if share is None else f"{share:.0%}"]
    if fastest is None:
        cells += ["", ""]
    else:
        side = sides.pop(fastest)
        cells += [f"{side['ms']:.1f} ({fastest})", f"{side['times_ours']:.2f}"]
    cells.append(", ".join(f"{peer} {sides[peer]['times_ours']:.2f}" for peer in sides))
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(headline(), table(), sep="\n\n")
