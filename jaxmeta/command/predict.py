"""`jaxmeta predict --support DIR --query DIR`, or `--model DIR --query DIR`."""

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from jaxmeta import plots
from jaxmeta.answers import COVERAGE, Answers
from jaxmeta.command import models
from jaxmeta.pictures import as_array, folder_of_pictures

MOST_LISTED = 40  # in the table; the file has all
MOST_DRAWN, NEAREST, THUMBNAIL = 16, 4, (96, 96, 3)
NONE, UNSURE = "none of these", "unsure"


@dataclasses.dataclass(frozen=True)
class PredictOptions:
    """Classifies pictures by a few examples of each class.

    Writes a table with the probability of every class, and a picture: each query with its label and
    the support pictures nearest to it. The answer is "none of these" where at most 5 % of held-out
    support pictures are as far from every class, and "unsure" where the set of classes that holds
    the truth with 90 % probability is not a single one.
    """

    query: Path
    """a picture, or a folder of pictures"""
    support: Path | None = None
    """folder with a folder of pictures for each class"""
    model: Path | None = None
    """folder that `jaxmeta fit` wrote, in place of support"""
    run: Path | None = None
    """run folder whose learner it is; None: ImageNet features and class means"""
    out: Path = Path("predictions.csv")
    """the table; the picture has its name with .png"""


def main(arguments: Sequence[str]) -> None:
    """Predicts, prints the table, writes it and the picture."""
    options = tyro.cli(PredictOptions, args=arguments, prog="jaxmeta predict")
    queries = folder_of_pictures(options.query)
    model = _model(options)
    x = model.classifier.rows(queries)
    answers = model.classifier.answers_of_rows(x)
    labels = model.classifier.classes_[answers.probabilities.argmax(1)]
    said = said_of(answers, labels)
    _print(queries, labels, said, answers)
    _write(options.out, queries, labels, said, answers, model.classifier.classes_)
    picture = options.out.with_suffix(".png")
    _draw(picture, queries, labels, said, answers, x, model)
    print(f"wrote {options.out} and {picture}")


def _model(options):
    if (options.support is None) == (options.model is None):
        raise ValueError("give one of --support, a folder of classes, and --model.")
    if options.model is None:
        return models.fit(options.support, options.run)
    if options.run is not None:
        raise ValueError("--run goes with --support: a model has its learner already.")
    return models.load(options.model)


def said_of(answers: Answers, labels: np.ndarray) -> list[str]:
    """The label of each query, or that it is none of these, or that it is unsure."""
    return [
        NONE if is_none else UNSURE if is_unsure else str(label)
        for label, is_none, is_unsure in zip(
            labels, answers.is_none, answers.is_unsure, strict=True
        )
    ]


def _print(queries, labels, said, answers):
    table = Table(box=None)
    for column in ("picture", "likeliest", "probability", "answer"):
        table.add_column(column, overflow="fold")
    best = answers.probabilities.max(1)
    for row in range(min(len(queries), MOST_LISTED)):
        table.add_row(queries[row].name, str(labels[row]), f"{best[row]:.2f}", said[row])
    Console().print(table)
    if len(queries) > MOST_LISTED:
        print(f"and {len(queries) - MOST_LISTED} more")


def _write(path, queries, labels, said, answers, classes):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        in_set = f"classes of the {100 * COVERAGE:.0f} % set"
        writer.writerow(["picture", "likeliest", "answer", in_set, "p known", *classes])
        for row, query in enumerate(queries):
            inside = " | ".join(map(str, classes[answers.sets[row]]))
            shares = [f"{share:.6f}" for share in answers.probabilities[row]]
            p_known = f"{answers.p_known[row]:.4f}"
            writer.writerow([query, labels[row], said[row], inside, p_known, *shares])


def _draw(path, queries, labels, said, answers, x, model):
    """The contact sheet; support pictures that have gone since the fit are left out."""
    best = answers.probabilities.max(1)
    support = _unit(model.classifier.support_x_)
    rows = []
    for row in range(min(len(queries), MOST_DRAWN)):
        order = np.argsort(-(support @ _unit(x[row : row + 1])[0]), kind="stable")
        doubt = "" if said[row] == str(labels[row]) else f", {said[row]}"
        near = [index for index in order if model.files[index].is_file()][:NEAREST]
        rows.append(
            plots.SheetRow(
                as_array([queries[row]], THUMBNAIL)[0],
                f"{labels[row]} {best[row]:.2f}{doubt}",
                [as_array([model.files[index]], THUMBNAIL)[0] for index in near],
                [model.names[index] for index in near],
            )
        )
    plots.draw_contact_sheet(rows).savefig(path, dpi=120)


def _unit(x):
    flat = x.reshape(len(x), -1)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
