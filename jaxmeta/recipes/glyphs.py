"""Typeface characters, 5-way 1-shot: the embedded default, meta-test on unseen scripts."""

import dataclasses

from jaxmeta.experiments.domains.images import Images
from jaxmeta.experiments.methods.gradient import (
    Anil,
    Cavia,
    Imaml,
    Maml,
    MamlPlusPlus,
    MetaLstm,
    MetaSgd,
)
from jaxmeta.experiments.methods.metric import Matching, Prototypical, Relation, Ridge, Siamese
from jaxmeta.experiments.nets import Conv4, RelationMaps, SigmoidUnits
from jaxmeta.experiments.outer import Outer
from jaxmeta.experiments.provenance import Provenance, Published
from jaxmeta.experiments.recipe import Recipe

_MAML = Recipe(
    provenance=Provenance(
        paper="Finn et al. 2017, section 5.2, as for Omniglot 5-way 1-shot",
        published=Published.of("none"),
        changes="data, without rotations; 32 filters; outer rate 0.003, falling by a cosine; "
        "meta-batch 8; 5 queries per class; 1 inner step, 3 at test; inner rate 0.4 of a sum over "
        "classes is 2.0 of our mean",
    ),
    task=Images(dataset="glyphs", rotations=False, train_q_queries=5),
    net=Conv4(width=32, strided=True, spatial_mean=True),
    learner=Maml(inner_lr=2.0, inner_steps=1, test_inner_steps=3),
    outer=Outer(
        steps=6_000,
        meta_batch_size=8,
        outer_lr=3e-3,
        steps_per_call=20,
        validate_every=500,
        validation_episodes=200,
        schedule="cosine",
    ),
)


def _like_maml(paper, changes, learner, **outer):
    return dataclasses.replace(
        _MAML,
        provenance=dataclasses.replace(
            _MAML.provenance,
            paper=f"{paper}, as for Omniglot or mini-ImageNet 5-way 1-shot",
            changes=f"data, net and outer loop of glyphs-maml-5w1s; {changes}",
        ),
        learner=learner,
        outer=dataclasses.replace(_MAML.outer, **outer),
    )


def _metric(paper, learner, *, net=None):
    return dataclasses.replace(
        _MAML,
        provenance=dataclasses.replace(
            _MAML.provenance,
            paper=f"{paper}, as for Omniglot 5-way 1-shot",
            changes="data; 20 ways in training; 32 filters; 2 000 steps, the rate falling by a "
            "cosine; batch normalisation by the support set's statistics",
        ),
        task=Images(dataset="glyphs", rotations=False, train_n_way=20, train_q_queries=5),
        net=net or Conv4(width=32),
        learner=learner,
        outer=Outer(
            steps=2_000,
            meta_batch_size=2,
            steps_per_call=20,
            validate_every=500,
            schedule="cosine",
        ),
    )


GLYPHS = {
    "glyphs-maml-5w1s": _MAML,
    "glyphs-fomaml-5w1s": _like_maml(
        "Finn et al. 2017, section 5.2, first order",
        "3 inner steps of 0.5 in training, 5 at test: with one step of 2.0 it stays at 48 %",
        Maml(inner_lr=0.5, inner_steps=3, test_inner_steps=5, derivative="first_order"),
    ),
    "glyphs-anil-5w1s": _like_maml(
        "Raghu et al. 2020, ANIL", "1 inner step", Anil(2.0, inner_steps=1, test_inner_steps=3)
    ),
    "glyphs-meta-sgd-5w1s": _like_maml(
        "Li et al. 2017, Meta-SGD",
        "rates start at 1.0",
        MetaSgd(1.0, inner_steps=1, test_inner_steps=1),
    ),
    "glyphs-maml-plus-plus-5w1s": _like_maml(
        "Antoniou et al. 2019, MAML++",
        "3 inner steps; rates start at 0.5",
        MamlPlusPlus(inner_lr=0.5, inner_steps=3, test_inner_steps=3, annealing_steps=1_000),
        steps=4_000,
    ),
    "glyphs-cavia-5w1s": _like_maml(
        "Zintgraf et al. 2019, CAVIA",
        "the released code's context of 100 and rate of 1.0",
        Cavia(context_size=100, inner_steps=2, test_inner_steps=2),
    ),
    "glyphs-imaml-5w1s": _like_maml(
        "Rajeswaran et al. 2019, iMAML",
        "6 solver steps at 0.3, lambda 0.5, damping 20: at 0 and 2 it stayed near chance for 400 "
        "meta-steps (the released code has 1, with the curvature divided by lambda + 10)",
        Imaml(inner_lr=0.3, inner_steps=6, test_inner_steps=6, lam=0.5, damping=20.0),
        steps=2_000,
    ),
    "glyphs-meta-lstm-5w1s": _like_maml(
        "Ravi & Larochelle 2017, LSTM meta-learner",
        "5 updates; 2 000 meta-steps of 4 tasks; the input gate's bias starts between -1 and 0, "
        "an inner rate of 0.4, not between -5 and -4",
        MetaLstm(inner_steps=5, test_inner_steps=5, input_bias=(-1.0, 0.0)),
        steps=2_000,
        meta_batch_size=4,
        clip=0.25,
    ),
    "glyphs-prototypical-5w1s": _metric("Snell et al. 2017, section 3.1", Prototypical()),
    "glyphs-matching-5w1s": _metric(
        "Vinyals et al. 2016", Matching(scale=10.0), net=Conv4(width=32, embedding=256)
    ),
    "glyphs-matching-full-context-5w1s": _metric(
        "Vinyals et al. 2016, full context embeddings",
        Matching(full_context=True, scale=10.0),
        net=Conv4(width=32, embedding=256),
    ),
    "glyphs-ridge-5w1s": _metric("Bertinetto et al. 2019, R2-D2", Ridge(lam=1.0, scale=10.0)),
    "glyphs-siamese-5w1s": _metric("Koch et al. 2015", Siamese(), net=SigmoidUnits(width=32)),
    "glyphs-relation-5w1s": _metric(
        "Sung et al. 2018", Relation(compare_width=32), net=RelationMaps(width=32)
    ),
}
