"""Nothing above the parts of a recipe asks of which class they are: it asks the part."""

import re
from pathlib import Path

import pytest

import jaxmeta
from jaxmeta import recipes
from jaxmeta.experiments import named

PACKAGE = Path(jaxmeta.__file__).parent
PART = r"\((?:recipe\.)?(?:recipe|config|task|net|learner|domain|method)"
ASKS = re.compile(rf"(?:isinstance|hasattr){PART}\b|getattr{PART}, \"")


@pytest.mark.parametrize("floor", ["experiments", "runs", "recipes", "command", "plots"])
def test_nothing_asks_of_which_class_a_part_is(floor):
    for path in (PACKAGE / floor).rglob("*.py"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert not ASKS.search(line), f"{path}:{number}: {line}"


def test_no_line_of_the_library_asks_of_which_class_a_recipe_a_config_or_a_task_is():
    asks = re.compile(r"isinstance\((recipe|config|task)")
    for path in PACKAGE.rglob("*.py"):
        assert not asks.search(path.read_text()), path


@pytest.mark.parametrize("name", sorted(recipes.ALL))
def test_the_parts_of_a_recipe_answer_all_that_is_asked(name):
    recipe = recipes.find(name)
    domain, method, net = recipe.task, recipe.learner, recipe.net
    assert domain.acts == method.acts and named(domain.metric.name) is domain.metric
    for part, names in (
        (domain, "has_images has_paths n_outputs scored_by score samples results"),
        (domain, "protocol_fields training_fields"),
        (method, "any_way one_pass is_second_order analysed_lr assemble parts embedder look"),
        (method, "extra_results look_back tested_after measured"),
        (net, "convolves is_pooled_and_flat build"),
    ):
        assert all(hasattr(part, word) for word in names.split())


@pytest.mark.parametrize(
    "name, mean, interval, text",
    [
        ("accuracy", 0.98765, 0.0043, "98.77 ± 0.43 %"),
        ("accuracy", 0.98765, None, "98.77 %"),
        ("mean squared error", 0.5, 0.1, "MSE 0.500 ± 0.100"),
        ("return", -20.06, 1.5, "-20.060 ± 1.500"),
    ],
)
def test_a_metric_in_words(name, mean, interval, text):
    assert named(name).text(mean, interval) == text
