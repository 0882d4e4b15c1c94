"""MANN on streams, SNAIL and meta networks on episodes, of glyphs and of Omniglot."""

import dataclasses

from jaxmeta.experiments.domains.images import Images
from jaxmeta.experiments.domains.streams import Streams
from jaxmeta.experiments.methods.memory import Mann, MetaNetworks, Snail
from jaxmeta.experiments.nets import Augmented, Conv4, Pixels
from jaxmeta.experiments.outer import Outer
from jaxmeta.experiments.provenance import Provenance, Published
from jaxmeta.experiments.recipe import Recipe

_SHARP = "cosines times 8; 2 heads; a rate of 0.002"
_STREAM_OUTER = Outer(
    steps=30_000,
    meta_batch_size=16,
    outer_lr=2e-3,
    schedule="cosine",
    clip=10.0,
    steps_per_call=50,
    validate_every=1_000,
)
_STREAMS = Streams(dataset="omniglot", max_turn=0.2, max_shift=0.08)
_MANN = Recipe(
    provenance=Provenance(
        paper="Santoro et al. 2016, section 4.1 and table 1, MANN, Omniglot, 5 classes, one-hot "
        "labels",
        published=Published.of(
            "36.4, 82.8, 91.0, 92.6, 94.9, 98.1 % at the 1st, 2nd, 3rd, 4th, 5th, 10th presentation"
        ),
        changes=f"Vinyals split; {_SHARP}; random turns to 0.2 radians and shifts to 8 % of the "
        "side in training; 10 images of every class; 30 000 steps, the rate falling by a cosine",
    ),
    task=_STREAMS,
    net=Pixels(),
    learner=Mann(heads=2, strength=8.0),
    outer=_STREAM_OUTER,
)
_SNAIL = Recipe(
    provenance=Provenance(
        paper="Mishra et al. 2018, section 5.1 and table 1, SNAIL, Omniglot 5-way 1-shot",
        published=Published.of("99.07 ± 0.16 %"),
        changes="Vinyals split; batch normalisation by the support set's statistics; a meta-batch "
        "of 8 with 5 queries per class, not 32 with one query; 6 000 steps, the rate falling by a "
        "cosine",
    ),
    task=Images(dataset="omniglot", train_q_queries=5),
    net=Conv4(embedding=64),
    learner=Snail(),
    outer=Outer(
        steps=6_000,
        meta_batch_size=8,
        schedule="cosine",
        clip=10.0,
        steps_per_call=10,
        validate_every=500,
    ),
)
_META_NETWORKS = Recipe(
    provenance=Provenance(
        paper="Munkhdalai & Yu 2017, section 4.1 and table 1, MetaNet, Omniglot 5-way 1-shot",
        published=Published.of("98.95 % (recollected, not seen)"),
        changes="Vinyals split; four convolutions, not five, and fast weights in the dense layer "
        "and the head (three layers cost 4.5 times as much), the convolutions batch normalised by "
        "the support set's statistics; second derivatives; a meta-batch of 4 with 5 queries per "
        "class, the released code's of 1 with 10; 2 500 steps, the rate falling by a cosine",
    ),
    task=Images(dataset="omniglot", train_q_queries=5),
    net=Augmented(),
    learner=MetaNetworks(),
    outer=Outer(
        steps=2_500,
        meta_batch_size=4,
        schedule="cosine",
        clip=10.0,
        steps_per_call=10,
        validate_every=500,
    ),
)


def _twenty(recipe, published, **outer):
    return dataclasses.replace(
        recipe,
        provenance=dataclasses.replace(
            recipe.provenance,
            paper=recipe.paper.replace("5-way", "20-way"),
            published=Published.of(published),
            changes=recipe.changes.replace("5 queries per class", "2 queries per class"),
        ),
        task=Images(dataset="omniglot", n_way=20, q_queries=5, train_n_way=20, train_q_queries=2),
        outer=dataclasses.replace(recipe.outer, **outer),
    )


def _on_glyphs(recipe, changes, **outer):
    return dataclasses.replace(
        recipe,
        provenance=dataclasses.replace(
            recipe.provenance,
            paper=f"{recipe.paper.split(',')[0]}, as for Omniglot",
            published=Published.of("none"),
            changes=changes,
        ),
        task=dataclasses.replace(recipe.task, dataset="glyphs"),
        outer=dataclasses.replace(recipe.outer, **outer),
    )


MEMORY = {
    "glyphs-mann-3": dataclasses.replace(
        _on_glyphs(
            _MANN, f"data; 3 classes; {_SHARP}; 6 000 steps", steps=6_000, validate_every=500
        ),
        task=Streams(dataset="glyphs", n_way=3),
    ),
    "glyphs-mann-5": _on_glyphs(
        _MANN,
        f"data; {_SHARP}; random turns to 0.2 radians and shifts to 8 % of the side in training; "
        "6 000 steps",
        steps=6_000,
        validate_every=500,
    ),
    "glyphs-snail-5w1s": dataclasses.replace(
        _on_glyphs(
            _SNAIL,
            "data, without rotations; batch normalisation by the support set's statistics; a "
            "meta-batch of 8 with 5 queries per class; 1 500 steps",
            steps=1_500,
            validate_every=250,
        ),
        task=Images(dataset="glyphs", rotations=False, train_q_queries=5),
    ),
    "glyphs-meta-networks-5w1s": dataclasses.replace(
        _on_glyphs(
            _META_NETWORKS,
            "data, without rotations; the rest as in omniglot-meta-networks-5w1s; 1 500 steps",
            steps=1_500,
            validate_every=250,
        ),
        task=Images(dataset="glyphs", rotations=False, train_q_queries=5),
    ),
    "omniglot-mann-5": _MANN,
    "omniglot-mann-15-strings": dataclasses.replace(
        _MANN,
        provenance=dataclasses.replace(
            _MANN.provenance,
            paper="Santoro et al. 2016, section 4.1 and table 2, MANN, Omniglot, 15 classes, "
            "strings",
            published=Published.of(
                "0.1, 62.6, 79.3, 86.6, 88.7, 95.3 % at the 1st, 2nd, 3rd, 4th, 5th, 10th "
                "presentation"
            ),
            changes=f"Vinyals split; {_SHARP}; random turns to 0.2 radians and shifts to 8 % of "
            "the side in training; 100 steps cut from 10 images of every class; strings of an "
            "episode "
            "all differ; 30 000 steps, the rate falling by a cosine",
        ),
        task=dataclasses.replace(_STREAMS, n_way=15, length=100, strings=True),
        learner=Mann(heads=2, strength=8.0),
    ),
    "omniglot-snail-5w1s": _SNAIL,
    "omniglot-snail-20w1s": _twenty(_SNAIL, "97.64 ± 0.3 %", meta_batch_size=4),
    "omniglot-meta-networks-5w1s": _META_NETWORKS,
    "omniglot-meta-networks-20w1s": _twenty(
        _META_NETWORKS, "97.0 % (recollected, not seen)", meta_batch_size=2
    ),
}
