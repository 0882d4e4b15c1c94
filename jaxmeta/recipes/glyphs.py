"""Typeface characters, 5-way 1-shot: the embedded default, meta-test on unseen scripts."""

import dataclasses

from jaxmeta.recipes._recipe import Conv4, Images, Maml, Outer, Prototypical, Recipe

_MAML = Recipe(
    paper="Finn et al. 2017, section 5.2, as for Omniglot 5-way 1-shot",
    published="none",
    changes="data; 32 filters; 3 inner steps",
    task=Images(dataset="glyphs", rotations=False),
    net=Conv4(width=32, strided=True),
    learner=Maml(inner_lr=0.5, inner_steps=3, test_inner_steps=5),
    outer=Outer(
        steps=4_000,
        meta_batch_size=16,
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
