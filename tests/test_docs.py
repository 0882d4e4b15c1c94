"""Every Python snippet of the documentation runs, page by page; every public name has an entry."""

import importlib
import importlib.util
import inspect
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta.datasets import ClassData

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = {path.name: path.read_text() for path in sorted(DOCS.glob("*.md"))}
SNIPPETS = {
    name: re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    for name, text in PAGES.items()
}


@pytest.mark.parametrize(
    "name", [name for name, snippets in SNIPPETS.items() if snippets and name != "your_own.md"]
)
def test_the_snippets_of_a_page_run_in_their_order(name):
    names: dict = {}
    for snippet in SNIPPETS[name]:
        exec(compile(snippet, name, "exec"), names)


def test_the_shortest_learner_is_nearest_class_mean_on_episodes_of_any_size():
    names: dict = {}
    for snippet in SNIPPETS["your_own.md"]:
        exec(compile(snippet, "your_own.md", "exec"), names)
    learner = names["class_means"]()
    episode = jaxmeta.make_episode(
        [[0.0, 0.0], [2.0, 0.0], [5.0, 5.0]], [0, 0, 1], [[1.0, 1.0]], [0]
    )
    params = learner.init(jax.random.key(0), episode)
    loss, logits = learner.loss(params, jax.random.key(0), episode)
    np.testing.assert_allclose(logits, [[-1.0, -32.0]])
    np.testing.assert_allclose(loss, jnp.log1p(jnp.exp(-31.0)), atol=1e-6)

    data = ClassData.from_classes({str(n): np.full((8, 2), n, np.float32) for n in range(6)})
    sample = jaxmeta.tasks.episodes(data, n_way=(2, 5), k_shot=(1, 3), q_queries=2)
    tx = optax.sgd(0.1)
    state = jaxmeta.init_state(jax.random.key(0), learner, tx, sample)
    step = jaxmeta.make_step(learner, tx, sample, meta_batch_size=4, steps_per_call=3)
    state, info = step(state, jax.random.key(1))
    assert not info.is_skipped.any()
    # Classes are apart and have no spread: a larger factor of the distances is always better.
    assert state.params["temperature"] > 1


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


def test_the_pages_of_the_reference_are_those_that_the_script_writes():
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for page, text in module.pages().items():
        assert (DOCS / "api" / f"{page}.md").read_text() == text, "run python docs/reference.py"


def test_every_page_is_in_the_navigation():
    navigation = (DOCS.parent / "mkdocs.yml").read_text()
    for path in DOCS.rglob("*.md"):
        assert f" {path.relative_to(DOCS)}\n" in navigation, path
