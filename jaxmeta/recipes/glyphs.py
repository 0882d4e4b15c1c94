"""Typeface characters, 5-way 1-shot: the embedded default, meta-test on unseen scripts."""

import dataclasses

from jaxmeta.recipes._recipe import Conv4, Images, Maml, Outer, Prototypical, Recipe

_MAML = Recipe(
    paper="Finn et al. 2017, section 5.2, as for Omniglot 5-way 1-shot",
    published="none",
    changes="data, without rotations; 32 filters; outer rate 0.003, falling by a cosine; "
    "meta-batch 8; 5 queries per class; 1 inner step, 3 at test; inner rate 0.4 of a sum over "
    "classes is 2.0 of our mean",
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
GLYPHS = {
    "glyphs-maml-5w1s": _MAML,
    "glyphs-prototypical-5w1s": dataclasses.replace(
        _MAML,
        paper="Snell et al. 2017, section 3.1, as for Omniglot 5-way 1-shot",
        changes="data; 20 ways in training",
        task=Images(dataset="glyphs", rotations=False, train_n_way=20, train_q_queries=5),
        net=Conv4(),
        learner=Prototypical(),
        outer=Outer(
            steps=2_000,
            meta_batch_size=1,
            steps_per_call=20,
            validate_every=500,
            schedule="cosine",
        ),
    ),
}
