"""A method's default is that of the factory that it calls, or the class says why it is not."""

import dataclasses
import inspect
from typing import Any, get_args, get_type_hints

import pytest

from jaxmeta import networks, rl
from jaxmeta.experiments.methods import gradient, hyper, in_context, memory, metric, reinforcement
from jaxmeta.experiments.recipe import Recipe
from jaxmeta.inner import rules
from jaxmeta.learners import gradient as gradient_learners
from jaxmeta.learners import hyper as hyper_learners
from jaxmeta.learners import memory as memory_learners
from jaxmeta.learners import metric as metric_learners

# Of every method: the factories that its fields go to, and fields of another name than there.
FACTORIES = {
    gradient.Maml: ([gradient_learners.maml], {}),
    gradient.Anil: ([gradient_learners.anil], {}),
    gradient.MetaSgd: ([gradient_learners.meta_sgd], {"inner_lr": "lr"}),
    gradient.Reptile: ([gradient_learners.reptile], {}),
    gradient.MamlPlusPlus: ([gradient_learners.maml_plus_plus], {"inner_lr": "lr"}),
    gradient.Cavia: ([gradient_learners.cavia], {}),
    gradient.Imaml: ([gradient_learners.imaml], {}),
    gradient.MetaLstm: ([gradient_learners.meta_lstm], {}),
    gradient.LearnedOptimizer: (
        [gradient_learners.learned_optimizer, rules.coordinatewise_lstm],
        {},
    ),
    metric.Prototypical: ([metric_learners.prototypical], {}),
    metric.Matching: ([metric_learners.matching], {}),
    metric.Siamese: ([metric_learners.siamese], {}),
    metric.Relation: (
        [metric_learners.relation, networks.relation_head],
        {"compare_width": "width"},
    ),
    metric.Ridge: ([metric_learners.ridge], {}),
    metric.WholeClassification: ([metric_learners.whole_classification], {}),
    hyper.HyperTransformer: ([hyper_learners.hypertransformer], {}),
    hyper.Hypernetwork: ([hyper_learners.hypernetwork], {"generator_hidden": "hidden"}),
    hyper.Conditional: ([hyper_learners.conditional], {}),
    memory.Mann: (
        [memory_learners.mann, memory_learners.lrua, memory_learners.lstm],
        {"hidden": "size"},
    ),
    memory.Snail: ([memory_learners.snail], {}),
    memory.MetaNetworks: ([memory_learners.meta_networks], {"maker_hidden": "hidden"}),
    reinforcement.Rl2: ([rl.rl2, rl.ppo], {"clip_ratio": "clip"}),
    reinforcement.MamlRl: ([rl.maml_rl, rl.trpo], {}),
    in_context.DecisionPretrained: ([rl.decision_pretrained], {}),
    in_context.AlgorithmDistillation: ([rl.algorithm_distillation, rl.q_learning], {}),
    in_context.OnlineDecisionTransformer: (
        [rl.online_decision_transformer, rl.online_rounds, rl.teacher_with_noise],
        {},
    ),
}
# Fields that choose a function by its name, or a part with fields of its own.
WORDS = {
    (metric.Prototypical, "distance"): metric_learners.squared_euclidean,
    (metric.WholeClassification, "head"): None,
    (memory.Mann, "controller"): None,
    (memory.Mann, "memory"): None,
    (hyper.Hypernetwork, "encoder"): None,
    (hyper.Hypernetwork, "generated"): None,
    (hyper.Conditional, "encoder"): None,
    (reinforcement.MamlRl, "inner_loss"): rl.surrogate,
}
# Each of these classes says why.
OTHER = {
    (gradient.Maml, "derivative"),
    (gradient.Anil, "derivative"),
    (gradient.MetaSgd, "derivative"),
    (gradient.MamlPlusPlus, "derivative"),
    (gradient.Cavia, "derivative"),
    (reinforcement.MamlRl, "test_inner_lrs"),
}


def shared(method):
    """`(field, default, default of the factory)` of every field that a factory has too."""
    factories, names = FACTORIES[method]
    for field in dataclasses.fields(method):
        for factory in factories:
            found = inspect.signature(factory).parameters.get(names.get(field.name, field.name))
            if found is not None and found.default is not found.empty:
                yield field.name, field.default, found.default
                break


def test_every_method_is_compared_by_at_least_one_field():
    def members(kind):
        return [one for part in get_args(kind) for one in members(part) or [part]]

    ours = set(members(get_type_hints(Recipe)["learner"])) - {Any}  # Any: one of a user's own
    assert FACTORIES.keys() == ours
    without = {method for method in FACTORIES if not list(shared(method))}
    assert without == {metric.Siamese}  # It has no field.


@pytest.mark.parametrize("method", FACTORIES, ids=lambda method: method.__name__)
def test_a_default_is_the_factory_s(method):
    for name, here, there in shared(method):
        if (method, name) in WORDS:
            assert there == WORDS[method, name], name
        elif (method, name) in OTHER:
            assert here != there, f"{name} needs no exception any more"
        else:
            assert here == there, f"{name} is {here}, but the factory's {there}"


def test_every_exception_is_of_a_field_that_is_compared():
    for method, name in [*WORDS, *OTHER]:
        assert name in [field for field, _, _ in shared(method)], (method, name)
