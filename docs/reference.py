"""Writes the pages of the API reference from the public names.

    python docs/reference.py

A page is a list of names in the order of `__all__`; what they say stands in their docstrings.
"""

import importlib
import inspect
from pathlib import Path

API = Path(__file__).parent / "api"
LEARNERS = {
    "The contract": ["Examples", "Episode", "Stream", "Learner", "Trainable", "make_episode"],
    "Networks from elsewhere": ["Net", "from_nnx"],
    "Gradient-based": [
        *("maml", "fomaml", "anil", "reptile", "meta_sgd", "maml_plus_plus", "cavia", "imaml"),
        *("meta_lstm", "learned_optimizer"),
    ],
    "Metric": ["prototypical", "matching", "relation", "siamese", "ridge"],
    "Memory": ["mann", "meta_networks", "snail"],
    "Hypernetworks": ["hypernetwork", "conditional", "hypertransformer"],
    "Learners from learners": ["transductive", "one_query_at_a_time"],
}
PAGES = {
    "rules": (
        "Update rules",
        "How a gradient step of the inner loop moves the weights.",
        "inner.rules",
    ),
    "networks": ("Networks", "Networks of the few-shot literature, as Flax modules.", "networks"),
    "tasks": ("Tasks", "A task source is a function `sample(key) -> Episode`.", "tasks"),
    "datasets": ("Data sets", "Class-structured arrays with class-disjoint splits.", "datasets"),
    "losses": ("Losses and metrics", "What one episode's outputs are scored by.", "losses"),
    "training": ("Training and evaluation", "The compiled step and the meta-test.", "training"),
    "runs": ("Runs", "The folder of a run, and all that writes and reads it.", "runs"),
    "rl": ("Reinforcement learning", "Agents, environments and outer updates.", "rl"),
    "analysis": ("Analysis", "Second-order gradients, measured.", "analysis"),
    "support": ("Support sets", "Which rows of a set count.", "support"),
    "padding": ("Padding", "What keeps rows that do not count out of every number.", "padding"),
    "estimator": ("Estimators", "Few-shot learners by scikit-learn's conventions.", "estimator"),
    "export": ("Export", "A learner as one file that runs with JAX alone.", "export"),
}


def public(module) -> list[str]:
    """The names of a module: those of `__all__`, or what is defined in it."""
    defined = (
        name
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and callable(thing)
        and getattr(thing, "__module__", "") == module.__name__
    )
    return list(getattr(module, "__all__", defined))


def pages() -> dict[str, str]:
    """The text of every page."""
    parts = ["# Learners", "The contract, and every learner."]
    for title, names in LEARNERS.items():
        parts += [f"## {title}", *(f"::: jaxmeta.{name}" for name in names)]
    texts = {"learners": parts}
    for page, (title, about, path) in PAGES.items():
        module = importlib.import_module(f"jaxmeta.{path}")
        parts = [f"# {title}", about]
        for name in public(module):
            thing = getattr(module, name)
            where = thing.__name__ if inspect.ismodule(thing) else f"jaxmeta.{path}.{name}"
            parts += [f"## {path}.{name}"] * inspect.ismodule(thing) + [f"::: {where}"]
        texts[page] = parts
    return {page: "\n\n".join(parts) + "\n" for page, parts in texts.items()}


if __name__ == "__main__":
    for page, text in pages().items():
        (API / f"{page}.md").write_text(text)
