"""Regression on a user's table."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxmeta import datasets, experiments, runs, tasks
from jaxmeta.datasets import Table
from jaxmeta.experiments.domains.regression import Regression
from jaxmeta.experiments.methods.gradient import Maml
from jaxmeta.experiments.nets import Mlp


def table(rows=8, groups=10):
    """Group g has the line y = g x + g; x tells the row and the group apart."""
    number = np.repeat(np.arange(groups), rows)
    x = np.arange(len(number), dtype=np.float32)[:, None]
    return Table(x, number[:, None] * x + number[:, None], np.array([f"g{g}" for g in number]))


def test_an_episode_is_of_one_group_and_has_no_row_twice():
    whole = table()
    shuffled = np.random.default_rng(0).permutation(len(whole.x))
    whole = Table(*(part[shuffled] for part in whole))
    sample = jax.jit(tasks.groups(whole, k_shot=3, q_queries=5))
    seen = set()
    for number in range(40):
        episode = sample(jax.random.key(number))
        x = np.concatenate([episode.support.x, episode.query.x])[:, 0]
        y = np.concatenate([episode.support.y, episode.query.y])[:, 0]
        group = x[0] // 8
        assert (x // 8 == group).all() and len(set(x)) == 8
        np.testing.assert_allclose(y, group * x + group)
        seen.add(group)
    assert len(seen) > 8


def test_groups_of_different_sizes_are_drawn_alike():
    """Every row of a group is as likely as any other, and none beyond it is ever drawn."""
    x = np.arange(7, dtype=np.float32)[:, None]
    sample = tasks.groups(Table(x, x, np.array(list("aabbbbb"))), k_shot=1, q_queries=1)
    keys = jax.random.split(jax.random.key(0), 4000)
    support = np.asarray(jax.vmap(sample)(keys).support.x)[:, 0, 0].astype(int)
    shares = np.bincount(support, minlength=7) / 4000
    # Half of the draws for each group: a quarter for a row of a, a tenth for one of b; 5 sigma.
    np.testing.assert_allclose(shares, [0.25] * 2 + [0.1] * 5, atol=5 * np.sqrt(0.19 / 4000))


def test_the_groups_of_the_splits_are_disjoint():
    parts = table().split(seed=3)
    groups = [set(part.group.tolist()) for part in parts]
    assert [len(names) for names in groups] == [6, 2, 2]
    assert len(set.union(*groups)) == 10
    again = table().split(seed=3)
    assert all((a.x == b.x).all() for a, b in zip(parts, again, strict=True))


@pytest.mark.parametrize(
    "text, message",
    [
        ("a,y\n1,2\n", "must have one column 'group', got the columns a, y"),
        ("group,y\ng,2\n", "must have a column of inputs and a row, got group, y"),
        ("group,a,y\ng,1\n", "line 2 of .* must have 3 cells, got 2"),
        ("group,a,y\ng,1,2\ng,one,2\n", "a must be a finite number, got 'one' in line 3"),
        ("group,a,y\ng,1,nan\n", "y must be a finite number, got 'nan' in line 2"),
        ("", "is no table of comma-separated values"),
    ],
)
def test_what_is_no_table(text, message, tmp_path):
    (tmp_path / "mine.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        datasets.from_csv(tmp_path / "mine.csv")


def test_a_group_with_too_few_rows():
    short = table(rows=3)
    with pytest.raises(ValueError, match=r"k_shot \+ q_queries = 4 rows, but 'g0' has 3"):
        tasks.groups(short, k_shot=2, q_queries=2)
    with pytest.raises(ValueError, match=r"x must be finite, got .* in row 1"):
        tasks.groups(Table(short.x * np.nan ** (short.x == 1), *short[1:]), k_shot=1, q_queries=1)
    with pytest.raises(ValueError, match="table must be csv:PATH or a Table of arrays, got 'mine"):
        Regression(table="mine.csv").samples()


@pytest.mark.parametrize("kind", ["csv", "arrays"])
def test_a_run_on_a_table(kind, tmp_path):
    whole = table()
    if kind == "csv":
        lines = [
            f"{g},{x},{y}" for g, (x,), (y,) in zip(whole.group, whole.x, whole.y, strict=True)
        ]
        (tmp_path / "mine.csv").write_text("\n".join(["who,x,out", *lines]))
        domain = Regression(f"csv:{tmp_path / 'mine.csv'}", group="who", target="out", k_shot=3)
    else:
        domain = Regression(whole, k_shot=3)
    domain = dataclasses.replace(domain, test_q_queries=3)
    outer = experiments.Outer(steps=2, steps_per_call=1, validate_every=1, validation_episodes=2)
    recipe = experiments.Recipe(
        task=domain,
        net=Mlp((4,)),
        learner=Maml(1e-4, 1, 1),
        outer=outer,
        test_episodes=3,
        curve_episodes=3,
    )
    runs.train("mine", recipe, tmp_path / "run")
    assert runs.read_config(tmp_path / "run") == ("mine", recipe)
    results = runs.evaluate_run(tmp_path / "run")
    assert results["setting"] == "5-shot" and np.isfinite(results["inductive"]["mean"])
