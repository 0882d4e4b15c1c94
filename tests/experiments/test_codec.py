import dataclasses
import functools
import json

import jax.numpy as jnp
import pytest

from jaxmeta import recipes
from jaxmeta.experiments import Recipe, decode, encode
from jaxmeta.experiments.outer import Outer
from jaxmeta.runs.untagged import KINDS, tagged, with_provenance


@pytest.mark.parametrize("name", sorted(recipes.ALL))
def test_a_recipe_reads_back_without_its_name(name):
    recipe = recipes.find(name)
    assert decode(Recipe, json.loads(json.dumps(encode(recipe)))) == recipe


def test_every_part_says_what_it_is():
    fields = encode(recipes.find("sinusoid-hypernetwork"))
    assert fields["type"] == "Recipe" and fields["task"]["type"] == "Sinusoid"
    assert fields["learner"]["type"] == "Hypernetwork"
    assert fields["learner"]["encoder"]["type"] == "SupportEncoder"


def test_what_is_not_written_has_its_default():
    assert decode(Outer, {"type": "Outer", "steps": 7}) == Outer(steps=7)
    assert decode(Outer, {"type": "Outer", "outer_lr": 1}).outer_lr == 1.0


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"stepz": 7}, "Outer has no field 'stepz'; the fields are clip, .*steps"),
        ({"steps": "7"}, "steps must be int, got '7'"),
        ({"steps": 7.5}, "steps must be int, got 7.5"),
        ({"steps": True}, "steps must be int, got True"),
        ({"outer_lr": None}, "outer_lr must be float, got None"),
        ({"clip": "much"}, "clip must be float, None, got 'much'"),
        ({"schedule": "step"}, "schedule must be 'constant', 'linear', 'cosine', 'halving', got"),
        ({"seed": {"type": "Outer"}}, "seed must be one of int, got type 'Outer'"),
    ],
)
def test_what_a_field_cannot_hold_is_named(fields, message):
    with pytest.raises(ValueError, match=message):
        decode(Outer, {"type": "Outer", **fields})


def test_only_what_a_recipe_may_hold_is_made():
    fields = encode(recipes.find("sinusoid-maml"))
    fields["task"] = {"type": "Outer"}
    with pytest.raises(ValueError, match=r"task must be one of Sinusoid, .*, got type 'Outer'"):
        decode(Recipe, fields)
    with pytest.raises(ValueError, match="config must be Recipe, got 3"):
        decode(Recipe, 3)


def test_a_tuple_of_fixed_length():
    fields = encode(recipes.find("sinusoid-maml").net) | {"hidden": [3, 4, 5]}
    assert decode(type(recipes.find("sinusoid-maml").net), fields).hidden == (3, 4, 5)
    lstm = next(r.learner for r in recipes.ALL.values() if hasattr(r.learner, "input_bias"))
    with pytest.raises(ValueError, match="input_bias must have 2 entries, got 1"):
        decode(type(lstm), encode(lstm) | {"input_bias": [1.0]})


@pytest.mark.parametrize("name", sorted(name for names in KINDS.values() for name in names))
def test_configs_of_the_first_folders_are_read(name):
    """Theirs are the plain fields, and the recipe's name says of what types they are."""
    recipe = recipes.find(name)
    fields = json.loads(json.dumps(dataclasses.asdict(recipe)))
    del fields["provenance"]
    fields |= {"paper": recipe.paper, "published": recipe.published, "changes": recipe.changes}
    assert decode(Recipe, with_provenance(tagged(name, fields))) == recipe


def test_an_unknown_name_without_types():
    with pytest.raises(ValueError, match="unknown recipe 'mine', and its fields do not say"):
        tagged("mine", {})


def test_two_functions_of_one_type_are_told_apart():
    """What a run was trained with is not read with another function in its place."""
    one, other = (encode((jnp.tanh, {"act": act})) for act in (jnp.sin, jnp.cos))
    assert one != other
    assert encode(jnp.tanh) == encode(jnp.tanh) != encode(jnp.sin)

    def by_one(x):
        return x + 1.0

    def by_two(x):
        return x + 2.0

    assert encode(by_one) != encode(by_two)
    assert encode(functools.partial(jnp.power)) != encode(functools.partial(jnp.add))
