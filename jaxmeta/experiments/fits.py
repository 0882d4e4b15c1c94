"""Whether the parts of an experiment fit each other, by shapes alone: nothing is compiled."""

from typing import Any

import jax

from jaxmeta.experiments.build import Experiment
from jaxmeta.experiments.recipe import Recipe
from jaxmeta.learner import Episode, Stream


def check_fits(recipe: Recipe, experiment: Experiment) -> None:
    """The tasks of training and test are alike, and the net takes their inputs.

    Raises:
      ValueError: they do not fit; names both values.
    """
    domain, net, method = recipe.task, recipe.net, recipe.learner
    if domain.acts:
        return
    key = jax.random.key(0)
    train = jax.eval_shape(experiment.meta_train, key)
    asked = _asked(train)
    own_test = next(iter(experiment.meta_test.values()))
    for split, sample in (("meta_val", experiment.validation.sample), ("meta_test", own_test)):
        test = _asked(jax.eval_shape(sample, key))
        if asked is None or test is None:  # Another kind of task.
            return
        if asked.x.shape[1:] != test.x.shape[1:]:
            raise ValueError(
                f"inputs must have one shape, got {list(asked.x.shape[1:])} in meta_train "
                f"and {list(test.x.shape[1:])} in {split}."
            )
        if asked.y.shape[1:] != test.y.shape[1:] and not method.any_way:
            raise ValueError(
                f"{type(method).__name__} has one output for each class, so tasks must have the "
                f"same number of classes in training and at test, got {asked.y.shape[-1]} in "
                f"meta_train and {test.y.shape[-1]} in {split}: set train_n_way and n_way alike, "
                "or choose a learner of the metric family."
            )
    learner = experiment.learner
    try:
        params = jax.eval_shape(learner.init, key, train)
        _, outputs = jax.eval_shape(learner.loss, params, key, train)
    except TypeError as error:
        first = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise ValueError(
            f"{type(net).__name__} does not take the inputs of {type(domain).__name__}, which have "
            f"the shape {list(asked.x.shape[1:])}: {first}"
        ) from error
    found = getattr(outputs, "shape", asked.y.shape)  # A learner may report something else.
    if found != asked.y.shape:
        raise ValueError(
            f"{type(net).__name__} must give {list(asked.y.shape)} outputs, the shape of the "
            f"labels, for {type(domain).__name__}, got {list(found)}."
        )


def _asked(task: Any) -> Any:
    """Inputs and labels of what a learner is to predict; None of a task of another kind."""
    match task:
        case Episode():
            return task.query
        case Stream():
            return task
        case _:
            return None
