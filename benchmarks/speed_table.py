"""README's table of speeds, from `benchmarks/results/speed.json`.

python benchmarks/speed_table.py
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
    print(table())
