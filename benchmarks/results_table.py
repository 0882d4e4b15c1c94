"""The tables of results, made from the committed result files.

    python benchmarks/results_table.py

Writes README's headline and the table of `docs/results.md`; `tests/test_readme.py` holds both pages
to them.
"""

import json
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
HEAD = (
    "| recipe | paper | paper's number | ours | ours, transductive | raw-pixel neighbour "
    "| meta-steps, minutes |\n"
    "|---|---|---|---|---|---|---|"
)

HEADLINE_HEAD = (
    "| learner | setting | paper | ours | protocol | recipe |\n|---|---|---|---|---|---|"
)
# Learner, setting, the paper's number, protocol (a row of the result), folder and file.
HEADLINE = [
    ("MAML", "Omniglot, 5-way 1-shot", "98.7", "transductive", "omniglot-maml-5w1s"),
    ("Prototypical", "Omniglot, 5-way 1-shot", "98.8", "inductive", "omniglot-prototypical-5w1s"),
    ("Matching", "Omniglot, 20-way 1-shot", "93.8", "inductive", "omniglot-matching-20w1s"),
    ("Relation", "Omniglot, 20-way 1-shot", "97.6", "transductive", "omniglot-relation-20w1s"),
    (
        "Pretrained (RFS)",
        "CIFAR-FS, 5-way 1-shot, cut to a third of its steps",
        "62.7",
        "inductive",
        "cifar-fs-rfs-5w1s",
    ),
    ("Siamese", "Omniglot, 20-way 1-shot", "88.2", "inductive", "omniglot-siamese-20w1s"),
    ("SNAIL", "Omniglot, 5-way 1-shot", "99.07", "inductive", "omniglot-snail-5w1s"),
    (
        "Meta Networks",
        "Omniglot, 5-way 1-shot",
        "98.95",
        "inductive",
        "omniglot-meta-networks-5w1s",
    ),
    (
        "HyperTransformer",
        "Omniglot, 20-way 1-shot, 8 channels",
        "87.2",
        "transductive",
        "omniglot-hypertransformer-20w1s-40000-steps",
    ),
    ("RL^2", "bandits, 5 arms, 10 pulls, reward", "6.7", "return", "bandit-rl2-5a10"),
]


def headline(results: Path = RESULTS) -> str:
    """Markdown, ten rows, each by its paper's own protocol."""
    rows = [HEADLINE_HEAD]
    for learner, setting, paper, protocol, folder in HEADLINE:
        result = json.loads((results / folder / "evaluation.json").read_text())
        if not result["published"].startswith(paper):
            raise ValueError(f"{folder} says {result['published']!r} of its paper, not {paper}.")
        ours = _number(result, protocol) if protocol != "return" else _plain(result["return"])
        kind = "" if protocol == "return" else protocol
        paper += " (recollected)" if "recollected" in result["published"] else ""
        rows.append(f"| {learner} | {setting} | {paper} | {ours} | {kind} | `{result['recipe']}` |")
    return "\n".join(rows)


def table(results: Path = RESULTS) -> str:
    """Markdown, one row per evaluation of a run."""
    again = "evaluation-again.json"  # What a reader's own test of published results has written.
    files = sorted(path for path in results.glob("*/evaluation*.json") if path.name != again)
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


def put(page: Path, new: str) -> None:
    """Writes a table in the place of the one with the same head."""
    lines = page.read_text().split("\n")
    first = lines.index(new.split("\n")[0])
    last = next(n for n in range(first, len(lines)) if not lines[n].startswith("|"))
    page.write_text("\n".join([*lines[:first], new, *lines[last:]]))


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    put(root / "README.md", headline())
    put(root / "docs/results.md", table())
