"""Every Python snippet of the documentation runs, page by page; every public name has an entry."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = {path.name: path.read_text() for path in sorted(DOCS.glob("*.md"))}
SNIPPETS = {
    name: re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    for name, text in PAGES.items()
}


@pytest.mark.parametrize("name", [name for name, snippets in SNIPPETS.items() if snippets])
def test_the_snippets_of_a_page_run_in_their_order(name):
    names: dict = {}
    for snippet in SNIPPETS[name]:
        exec(compile(snippet, name, "exec"), names)


def test_there_are_pages_with_snippets():
    assert sum(map(bool, SNIPPETS.values())) >= 5


REFERENCE = "\n".join(path.read_text() for path in (DOCS / "api").glob("*.md"))
PUBLIC = [
    "jaxmeta",
    "jaxmeta.analysis",
    "jaxmeta.datasets",
    "jaxmeta.inner.rules",
    "jaxmeta.networks",
    "jaxmeta.rl",
    "jaxmeta.tasks",
    "jaxmeta.training",
]


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_in_the_reference(module):
    entries = set(re.findall(r"^::: jaxmeta\.(?:.*\.)?(\w+)$", REFERENCE, re.MULTILINE))
    names = importlib.import_module(module).__all__
    objects = {name: getattr(importlib.import_module(module), name) for name in names}
    missing = {
        name
        for name, thing in objects.items()
        if not inspect.ismodule(thing) and name not in entries
    }
    assert not missing


def test_every_page_is_in_the_navigation():
    navigation = (DOCS.parent / "mkdocs.yml").read_text()
    for path in DOCS.rglob("*.md"):
        assert f" {path.relative_to(DOCS)}\n" in navigation, path
