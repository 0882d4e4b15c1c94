"""What is known of a paper: in words as before, and as a number where there is one."""

import dataclasses

import pytest

from jaxmeta import recipes
from jaxmeta.command.flags import flags_of
from jaxmeta.experiments import Provenance, Published, named
from jaxmeta.runs.untagged import with_provenance


@pytest.mark.parametrize(
    "text, mean, interval, protocol, is_recollected",
    [
        ("none", None, None, None, False),
        ("98.7 ± 0.4 %, transductive", 0.987, 0.004, "transductive", False),
        ("96.0 %, inductive", 0.96, None, "inductive", False),
        ("97.64 ± 0.3 %", 0.9764, 0.003, None, False),
        ("98.95 % (recollected, not seen)", 0.9895, None, None, True),
        (
            "MSE 0.88 ± 0.14 after 1 step at 5 shots (recollected, not seen)",
            *(0.88, 0.14, "after 1 step at 5 shots", True),
        ),
        ("6.6 ± 0.1 (recollected, not seen)", 6.6, 0.1, None, True),
        ("156.2 in all 10 episodes", 156.2, None, "in all 10 episodes", False),
        ("95.39 ± 0.09 %, inductive; 97.68 ± 0.04 %, transductive", None, None, None, False),
        ("-40.41, -11.68, -3.33 after 0, 1, 2 gradient steps", None, None, None, False),
        ("a figure only; -139.0 ± 18.9 in Raghu et al. 2020, table 2", None, None, None, False),
    ],
)
def test_the_number_in_the_words(text, mean, interval, protocol, is_recollected):
    found = Published.of(text)
    assert found == Published(text, mean, interval, protocol, None, is_recollected)


@pytest.mark.parametrize("name", sorted(recipes.ALL))
def test_a_number_is_in_the_unit_of_the_results(name):
    published = recipes.find(name).provenance.published
    if published.mean is not None and recipes.find(name).task.metric is named("accuracy"):
        assert 0 < published.mean < 1 and "%" in published.text


def test_no_flag_sets_it():
    for recipe in recipes.ALL.values():
        assert not any("provenance" in flag.path for flag in flags_of(recipe))


def test_a_folder_from_before_has_texts():
    recipe = recipes.find("omniglot-maml-5w1s")
    fields = {"type": "Recipe", "paper": "a", "published": "96.0 %, inductive", "changes": "c"}
    found = with_provenance(fields)
    assert set(found) == {"type", "provenance"}
    assert found["provenance"]["published"]["mean"] == 0.96
    assert with_provenance(found) is found
    assert dataclasses.is_dataclass(recipe.provenance) and Provenance().published.text == "none"
