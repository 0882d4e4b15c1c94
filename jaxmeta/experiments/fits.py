"""Whether the parts of an experiment fit each other, by shapes alone: nothing is compiled."""

import jax

from jaxmeta.experiments.build import Experiment
from jaxmeta.experiments.recipe import Recipe
from jaxmeta.learner import Stream


def check_fits(recipe: Recipe, experiment: Experiment) -> None:
    """The tasks of training and test are alike, and the net takes their inputs.

    Raises:
      ValueError: they do not fit; names both values.
    """
    domain, net, method = recipe.task, recipe.net, recipe.learner
    if domain.acts:
        return
    key = jax.random.key(0)
    drawn = jax.eval_shape(experiment.meta_train, key)
    train = _scored(drawn)
    own_test = next(iter(experiment.meta_test.values()))
    for split, sample in (("meta_val", experiment.validation.sample), ("meta_test", own_test)):
        test = _scored(jax.eval_shape(sample, key))
        if train.x.shape[1:] != test.x.shape[1:]:
            raise ValueError(
                f"inputs must have one shape, got {list(train.x.shape[1:])} in meta_train "
                f"and {list(test.x.shape[1:])} in {split}."
            )
        columns = train.y.shape[1:], test.y.shape[1:]
        if columns[0] != columns[1] and not method.any_way:
            raise ValueError(
                f"{type(method).__name__} has one output for each class, so tasks must have the "
                f"same number of classes in training and at test, got {columns[0][-1]} in "
                f"meta_train and {columns[1][-1]} in {split}: set train_n_way and n_way alike, or "
                "choose a learner of the metric family."
            )
    shape = list(train.x.shape[1:])
    learner = experiment.learner
    try:
        params = jax.eval_shape(learner.init, key, drawn)
        outputs = jax.eval_shape(lambda *given: _outputs(learner, *given), params, key, drawn)
    except TypeError as error:
        first = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise ValueError(
            f"{type(net).__name__} does not take the inputs of {type(domain).__name__}, which have "
            f"the shape {shape}: {first}"
        ) from error
    if outputs.shape != train.y.shape:
        raise ValueError(
            f"{type(net).__name__} must give {list(train.y.shape)} outputs, the shape of the "
            f"labels, for the queries of {type(domain).__name__}, got {list(outputs.shape)}."
        )


def _scored(drawn):
    """The rows of an episode or a stream that are predicted."""
    return drawn if isinstance(drawn, Stream) else drawn.query


def _outputs(learner, params, key, drawn):
    if isinstance(drawn, Stream):
        return learner.loss(params, key, drawn)[1]
    return learner.predict(params, learner.adapt(params, key, drawn.support), drawn.query.x)
