"""`jaxmeta recipes`."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from jaxmeta import recipes


def main(arguments: Sequence[str]) -> None:
    """`jaxmeta recipes`."""
    if arguments:
        raise ValueError(f"recipes takes no arguments, got {' '.join(arguments)}.")
    table = Table(box=None)
    for column in ("recipe", "paper and setting", "published"):
        table.add_column(column, overflow="fold", no_wrap=column == "recipe")
    for name, recipe in recipes.ALL.items():
        table.add_row(name, recipe.paper, recipe.published)
    Console().print(table)
