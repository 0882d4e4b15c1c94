"""Sinusoid regression (Finn et al. 2017, section 5.1): 10 shots in training, 5 at test."""

import dataclasses

from jaxmeta.experiments.domains.regression import Sinusoid
from jaxmeta.experiments.methods.gradient import Anil, Maml, MetaSgd, Reptile
from jaxmeta.experiments.nets import Mlp
from jaxmeta.experiments.outer import Outer
from jaxmeta.experiments.provenance import Provenance, Published
from jaxmeta.experiments.recipe import Recipe

_OUTER = Outer(
    steps=150_000,
    meta_batch_size=25,
    steps_per_call=500,
    validate_every=5_000,
    validation_episodes=600,
)
_MAML = Recipe(
    provenance=Provenance(
        paper="Finn et al. 2017, section 5.1 and figure 3, MAML",
        published=Published.of("MSE 0.67, 0.38, 0.35 after 1, 5, 10 steps at 5 shots"),
        changes="150 000 meta-steps, not 70 000; 100 test queries, drawn apart from the support "
        "set",
    ),
    task=Sinusoid(),
    net=Mlp(),
    learner=Maml(inner_lr=0.01, inner_steps=1, test_inner_steps=10),
    outer=_OUTER,
    curve_episodes=600,
)
SINUSOID = {
    "sinusoid-maml": _MAML,
    "sinusoid-fomaml": dataclasses.replace(
        _MAML,
        provenance=dataclasses.replace(
            _MAML.provenance,
            paper="Finn et al. 2017, section 5.2, first-order MAML, on the task of section 5.1",
            published=Published.of("none"),
        ),
        learner=Maml(inner_lr=0.01, inner_steps=1, test_inner_steps=10, derivative="first_order"),
    ),
    "sinusoid-anil": dataclasses.replace(
        _MAML,
        provenance=dataclasses.replace(
            _MAML.provenance,
            paper="Raghu et al. 2020, ANIL, on the task of Finn et al. 2017, section 5.1",
            published=Published.of("none"),
            changes="5 inner steps in training and at test; the rest as for MAML",
        ),
        learner=Anil(inner_lr=0.01, inner_steps=5, test_inner_steps=5),
    ),
    "sinusoid-meta-sgd": dataclasses.replace(
        _MAML,
        provenance=dataclasses.replace(
            _MAML.provenance,
            paper="Li et al. 2017, Meta-SGD, section 4.1",
            published=Published.of(
                "MSE 0.88 ± 0.14 after 1 step at 5 shots (recollected, not seen)"
            ),
            changes="meta-batch of 25, 150 000 meta-steps and test queries as for MAML",
        ),
        learner=MetaSgd(inner_lr=0.01, inner_steps=1, test_inner_steps=1),
    ),
    "sinusoid-reptile": dataclasses.replace(
        _MAML,
        provenance=dataclasses.replace(
            _MAML.provenance,
            paper="Nichol et al. 2018, Reptile, section 4, on the task of Finn et al. 2017",
            published=Published.of("none"),
            changes="ReLU units and Finn et al.'s net; trained on 10 points of each task",
        ),
        net=Mlp(hidden=(64, 64), init_scale=None),
        learner=Reptile(
            inner_lr=0.01,
            inner_steps=10,
            test_inner_steps=32,
            inner_batch=10,
            test_inner_batch=None,
        ),
        outer=dataclasses.replace(
            _OUTER, optimiser="sgd", outer_lr=1.0, schedule="linear", meta_batch_size=5
        ),
    ),
    "sinusoid-pretrained": dataclasses.replace(
        _MAML,
        provenance=dataclasses.replace(
            _MAML.provenance,
            paper="Finn et al. 2017, section 5.1, the baseline pretrained on all tasks together",
            published=Published.of("none"),
            changes="fine-tuned at test with plain gradient descent; on meta_val, of rates from "
            "0.001 to 0.05, this one and 0.005 are the best",
        ),
        learner=Maml(inner_lr=0.01, inner_steps=0, test_inner_steps=10),
    ),
}
