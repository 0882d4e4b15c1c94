"""Omniglot, 28x28, rotations as classes, Vinyals split: gradient-based learners."""

import dataclasses

from jaxmeta.experiments.domains.images import Images
from jaxmeta.experiments.methods.gradient import Maml, Reptile
from jaxmeta.experiments.nets import Conv4
from jaxmeta.experiments.outer import Outer
from jaxmeta.experiments.provenance import Provenance, Published
from jaxmeta.experiments.recipe import Recipe

_FIVE = Images(dataset="omniglot", train_q_queries=5)
_TWENTY = Images(dataset="omniglot", n_way=20, q_queries=5, train_n_way=20, train_q_queries=5)
_STRIDED = Conv4(strided=True, spatial_mean=True)

_MAML = Recipe(
    provenance=Provenance(
        paper="Finn et al. 2017, section 5.2 and table 1, MAML, Omniglot 5-way 1-shot",
        published=Published.of("98.7 ± 0.4 %, transductive"),
        changes="Vinyals split; 12 000 steps, not 60 000, at a rate of 0.003, not 0.001, falling "
        "by a cosine; 5 queries per class in training; inner rate 0.4 of a sum over classes is "
        "2.0 of our mean; the query set normalised by the support set's statistics",
    ),
    task=_FIVE,
    net=_STRIDED,
    learner=Maml(inner_lr=2.0, inner_steps=1, test_inner_steps=3),
    outer=Outer(
        steps=12_000,
        meta_batch_size=32,
        outer_lr=3e-3,
        schedule="cosine",
        steps_per_call=20,
        validate_every=1_000,
    ),
)
_MAML_TWENTY = dataclasses.replace(
    _MAML,
    provenance=dataclasses.replace(
        _MAML.provenance,
        paper="Finn et al. 2017, section 5.2 and table 1, MAML, Omniglot 20-way 1-shot",
        published=Published.of("95.8 ± 0.3 %, transductive"),
        changes="Vinyals split; 20 000 steps, not 60 000, falling by a cosine; 5 queries per "
        "class in training; inner rate 0.1 of a sum over classes is 2.0 of our mean; the query "
        "set normalised by the support set's statistics",
    ),
    task=_TWENTY,
    learner=Maml(inner_lr=2.0, inner_steps=5, test_inner_steps=5),
    outer=Outer(
        steps=20_000,
        meta_batch_size=16,
        schedule="cosine",
        steps_per_call=10,
        validate_every=1_000,
    ),
)
_REPTILE = Recipe(
    provenance=Provenance(
        paper="Nichol et al. 2018, section 6.1 and table 2, Reptile, Omniglot 5-way 1-shot",
        published=Published.of("95.39 ± 0.09 %, inductive; 97.68 ± 0.04 %, transductive"),
        changes="Vinyals split with rotations at test too; moments of the inner Adam start anew",
    ),
    task=Images(dataset="omniglot", train_k_shot=10, train_q_queries=1),
    net=Conv4(strided=True),
    learner=Reptile(),
    outer=Outer(
        steps=100_000,
        meta_batch_size=5,
        outer_lr=1.0,
        optimiser="sgd",
        schedule="linear",
        steps_per_call=50,
        validate_every=5_000,
    ),
)
OMNIGLOT = {
    "omniglot-maml-5w1s": _MAML,
    "omniglot-maml-20w1s": _MAML_TWENTY,
    "omniglot-maml-20w1s-8-channels": dataclasses.replace(
        _MAML_TWENTY,
        provenance=dataclasses.replace(
            _MAML_TWENTY.provenance,
            published=Published.of("not found"),
            changes="the layers, weights and number of episodes of "
            "omniglot-hypertransformer-20w1s: 8 channels, max-pooling, 20 000 steps of 4 tasks, 3 "
            "queries per class in training; normalisation before ReLU and pooling, as MAML's net "
            "has it, not after them; 0.001 falling by a cosine; Vinyals split; inner rate 0.1 of "
            "our mean (0.4 and 2.0 learned more slowly); the query set normalised by the support "
            "set's statistics",
        ),
        task=dataclasses.replace(_TWENTY, train_q_queries=3),
        net=Conv4(width=8),
        learner=Maml(inner_lr=0.1, inner_steps=5, test_inner_steps=5),
        outer=dataclasses.replace(_MAML_TWENTY.outer, meta_batch_size=4),
    ),
    "omniglot-fomaml-5w1s": dataclasses.replace(
        _MAML,
        provenance=dataclasses.replace(
            _MAML.provenance,
            paper="Finn et al. 2017, section 5.2, first order; Nichol et al. 2018, table 2",
            published=Published.of("98.3 ± 0.5 %, transductive"),
        ),
        learner=Maml(inner_lr=2.0, inner_steps=1, test_inner_steps=3, derivative="first_order"),
    ),
    "omniglot-fomaml-20w1s": dataclasses.replace(
        _MAML_TWENTY,
        provenance=dataclasses.replace(
            _MAML_TWENTY.provenance,
            paper="Finn et al. 2017, section 5.2, first order; Nichol et al. 2018, table 2",
            published=Published.of("89.4 ± 0.5 %, transductive"),
        ),
        learner=Maml(inner_lr=2.0, inner_steps=5, test_inner_steps=5, derivative="first_order"),
    ),
    "omniglot-reptile-5w1s": _REPTILE,
    "omniglot-reptile-20w1s": dataclasses.replace(
        _REPTILE,
        provenance=dataclasses.replace(
            _REPTILE.provenance,
            paper="Nichol et al. 2018, section 6.1 and table 2, Reptile, Omniglot 20-way 1-shot",
            published=Published.of("88.14 ± 0.15 %, inductive; 89.43 ± 0.14 %, transductive"),
        ),
        task=Images(
            dataset="omniglot",
            n_way=20,
            q_queries=5,
            train_n_way=20,
            train_k_shot=10,
            train_q_queries=1,
        ),
        learner=Reptile(inner_lr=5e-4, inner_steps=10, inner_batch=20, test_inner_batch=10),
        outer=dataclasses.replace(_REPTILE.outer, steps=200_000),
    ),
}
