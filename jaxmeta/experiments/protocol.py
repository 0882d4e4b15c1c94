"""How a run is tested: on which episodes, how many, and after how many inner steps."""

import dataclasses
from typing import Any

from jaxmeta.checks import at_least
from jaxmeta.experiments.parts import Split
from jaxmeta.experiments.recipe import Recipe

NUMBERS = ("n_way", "k_shot", "q_queries")  # of the episodes: what fields they are, the domain says


@dataclasses.dataclass(frozen=True)
class Protocol:
    """What a meta-test may set. None: as the recipe says."""

    n_way: int | None = None
    """Classes per episode, of learners that take any number. None: as the recipe says."""
    k_shot: int | None = None
    """Support examples per class, or points of a regression. None: as the recipe says."""
    q_queries: int | None = None
    """Queries per class, or points of a regression. None: as the recipe says."""
    inner_steps: int | None = None
    """Steps of the inner loop, of gradient-based learners. None: as the recipe says."""
    n_episodes: int | None = None
    """Episodes. None: as many as the recipe says."""
    seed: int | None = None
    """Seed of the episodes. None: that of the run."""
    transductive: bool = False
    """Test with the query set's own batch statistics alone."""
    split: Split = "meta_test"
    """Whose classes are tested."""


def tested(recipe: Recipe, protocol: Protocol) -> Recipe:
    """The recipe with the numbers of a protocol in the fields of its parts.

    Raises:
      ValueError: its domain or its method does not take one of them; names the number, what there
        is, and what was asked for.
    """
    task: Any = recipe.task
    at_least(1, n_episodes=protocol.n_episodes)
    for name in NUMBERS:
        number = getattr(protocol, name)
        if number is not None:
            at_least(1, **{name: number})
            fields = _fields(task, name, number)
            task = dataclasses.replace(task, **dict.fromkeys(fields, number))
    if protocol.transductive:
        _fields(task, "transductive", True)
    if task.n_outputs != recipe.task.n_outputs and not recipe.learner.any_way:
        raise ValueError(
            f"n_way must be {recipe.task.n_outputs}, as many classes as the net of this run has "
            f"outputs for, got {task.n_outputs}; metric learners alone take any."
        )
    learner: Any = recipe.learner
    if protocol.inner_steps is not None:
        learner = learner.tested_after(protocol.inner_steps)
    return dataclasses.replace(recipe, task=task, learner=learner)


def name_of(recipe: Recipe, protocol: Protocol) -> str:
    """A name for what differs from the recipe's own test, such as `20w5s-seed-3`; "" for that."""
    there = tested(recipe, protocol)
    own: Any = recipe.task
    task: Any = there.task

    def differs(name):
        fields = own.protocol_fields.get(name, ())
        return any(getattr(task, field) != getattr(own, field) for field in fields)

    parts = []
    if differs("n_way") or differs("k_shot"):
        parts.append(short_setting(task))
    if differs("q_queries"):
        parts.append(f"{protocol.q_queries}-queries")
    if there.learner != recipe.learner:
        parts.append(f"{protocol.inner_steps}-inner-steps")
    if protocol.transductive:
        parts.append("transductive")
    if protocol.split != "meta_test":
        parts.append(protocol.split)
    if protocol.seed not in (None, recipe.outer.seed):
        parts.append(f"seed-{protocol.seed}")
    if protocol.n_episodes not in (None, recipe.test_episodes):
        parts.append(f"{protocol.n_episodes}-episodes")
    return "-".join(parts)


def short_setting(task: Any) -> str:
    """Way and shot as in the names of recipes and files, such as `5w1s`; "" where there is none."""
    ways, shots = (
        [getattr(task, field) for field in task.protocol_fields.get(name, ())[:1]]
        for name in ("n_way", "k_shot")
    )
    form = "{}w{}s" if ways and shots else "{}-way" if ways else "{}-shot" if shots else ""
    return form.format(*ways, *shots)


def _fields(task, name, value):
    """The fields of a domain that a number of the protocol sets."""
    if name not in task.protocol_fields:
        takes = ", ".join(task.protocol_fields) or "none of them"
        raise ValueError(
            f"{name} is {value}, and episodes of {type(task).__name__} have no such setting: of "
            f"{', '.join(NUMBERS)} and transductive they take {takes}."
        )
    return task.protocol_fields[name]
