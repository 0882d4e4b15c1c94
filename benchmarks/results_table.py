"""The results table of the README, made from the committed result files.

    python benchmarks/results_table.py

Prints the table; `tests/test_readme.py` holds the README to it.
"""

import json
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
HEAD = (
    "| recipe | paper | paper's number | ours | ours, transductive | raw-pixel neighbour "
    "| meta-steps, minutes |\n"
    "|---|---|---|---|---|---|---|"
)


def table(results: Path = RESULTS) -> str:
    """Markdown, one row per evaluation of a run."""
    files = sorted(results.glob("*/evaluation*.json"))
    rows = [row(json.loads(path.read_text()), path.name) for path in files]
    return "\n".join([HEAD, *rows])


def row(result: dict, file: str) -> str:
    """One evaluation."""
    elsewhere = "" if file == "evaluation.json" else f" at {result['setting']}"
    cells = [
        f"`{result['recipe']}`{elsewhere}",
        result["paper"],
        result["published"],
        _ours(result),
        _number(result, "transductive"),
        _number(result, "raw_pixel_nearest_neighbour"),
        f"{result['steps_trained']}, {result['seconds_trained'] / 60:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _ours(result):
    if "by_presentation" in result.get("inductive", {}):
        return _by_presentation(result["inductive"]["by_presentation"])
    if result["metric"] == "accuracy":
        return _number(result, "inductive") + ", inductive"
    if result["metric"] == "return":
        return _return(result)
    if "adaptation" not in result:
        return _in_one_pass(result)
    points = result["adaptation"][result["setting"]]
    chosen = [
        point for point in points if point["inner_steps"] in (1, 5, points[-1]["inner_steps"])
    ]
    numbers = [f"{point['mean']:.2f} ± {point['interval']:.2f}" for point in chosen]
    steps = ", ".join(str(point["inner_steps"]) for point in chosen)
    unit = "step" if steps == "1" else "steps"
    return f"MSE {', '.join(numbers)} after {steps} {unit}, {result['setting']}"


def _in_one_pass(result):
    """Regression without inner steps."""
    parts = [f"MSE {_plain(result['inductive'])}"]
    if "predictive" in result:
        covered = result["predictive"]["coverage_of_95_percent"]
        parts += [
            f"{_plain(result['context_mean'])} by the context's mean",
            f"log density {_plain(result['predictive']['log_density'])}",
            f"the 95 % band covers {100 * covered['mean']:.1f} ± {100 * covered['interval']:.1f} %",
        ]
    return ", ".join([*parts, result["setting"]])


def _plain(value):
    return f"{value['mean']:.2f} ± {value['interval']:.2f}"


def _by_presentation(values):
    chosen = [number for number in (1, 2, 3, 5, 10) if number <= len(values)]
    numbers = ", ".join(f"{100 * values[number - 1]:.1f}" for number in chosen)
    return f"{numbers} at presentation {', '.join(map(str, chosen))}"


def _return(result):
    if "adaptation" in result:
        points = result["adaptation"][result["setting"]]
        numbers = [f"{point['mean']:.2f} ± {point['interval']:.2f}" for point in points]
        return f"{', '.join(numbers)} after 0 to {len(points) - 1} steps"
    if "optimum_of_an_episode" in result:
        return _by_episode(result)
    mean = f"{result['return']['mean']:.2f} ± {result['return']['interval']:.2f}"
    return f"{mean}, {result['setting']}"


def _by_episode(result):
    """Rooms: the first and the last episode in a context, and what the agent began with."""
    curve = result["by_episode"]["trained"]
    first, last = (
        f"{curve['mean'][n]:.2f} ± {curve['interval'][n]:.2f}" for n in (0, len(curve["mean"]) - 1)
    )
    parts = [f"{first} in the first and {last} in the last of {len(curve['mean'])} episodes"]
    if "given_context" in result:
        given = result["given_context"]["with the teacher"]
        parts.insert(0, f"{_plain(given)} an episode after a context that a teacher had a share in")
    if "source_by_episode" in result:
        source = result["source_by_episode"]["mean"]
        parts.append(f"{source[-1]:.2f} by its source in episode {len(source)}")
    return "; ".join([*parts, f"at best {result['optimum_of_an_episode']:.2f}"])


def _number(result, row):
    if row not in result:
        return ""
    return f"{100 * result[row]['mean']:.1f} ± {100 * result[row]['interval']:.1f}"


if __name__ == "__main__":
    print(table())
