"""Omniglot, 28x28, rotations as classes, Vinyals split: metric learners.

An embedding serves episodes of any way and shot: `jaxmeta evaluate RUN --n-way 20` tests a run at
another setting than its own.
"""

from jaxmeta.experiments.domains.images import Images
from jaxmeta.experiments.methods.metric import Matching, Prototypical, Relation, Ridge, Siamese
from jaxmeta.experiments.nets import Conv4, RelationMaps, SigmoidUnits
from jaxmeta.experiments.outer import Outer
from jaxmeta.experiments.provenance import Provenance, Published
from jaxmeta.experiments.recipe import Recipe

SETTINGS = {"5w1s": (5, 1), "5w5s": (5, 5), "20w1s": (20, 1), "20w5s": (20, 5)}


def _four(
    name, paper, published, changes, learner, *, net=None, ways=40, queries=3, tasks=2, steps=3_000
):
    """The recipes `omniglot-NAME-5w1s`, `-5w5s`, `-20w1s` and `-20w5s`."""
    return {
        f"omniglot-{name}-{setting}": Recipe(
            provenance=Provenance(
                paper=f"{paper}, Omniglot {n_way}-way {k_shot}-shot",
                published=Published.of(published[setting]),
                changes=f"batch normalisation by the support set's statistics; {steps} steps, the "
                f"rate halved at each quarter; {ways} ways, {queries} queries per class, {tasks} "
                f"episodes a step{changes}",
            ),
            task=Images(
                dataset="omniglot",
                n_way=n_way,
                k_shot=k_shot,
                q_queries=15 if n_way == 5 else 5,
                train_n_way=ways,
                train_k_shot=k_shot,
                train_q_queries=queries,
            ),
            net=net or Conv4(),
            learner=learner,
            outer=Outer(
                steps=steps,
                meta_batch_size=tasks,
                steps_per_call=20,
                validate_every=200,
                schedule="halving",
                halve_every=steps // 4,
            ),
            test_episodes=1_000,
        )
        for setting, (n_way, k_shot) in SETTINGS.items()
    }


def _published(*numbers, protocol="inductive", remark=""):
    return {
        setting: f"{number} %, {protocol}{remark}"
        for setting, number in zip(SETTINGS, numbers, strict=True)
    }


OMNIGLOT_METRIC = {
    **_four(
        "prototypical",
        "Snell et al. 2017, section 3.1 and table 1",
        _published("98.8", "99.7", "96.0", "98.9"),
        ", the paper's",
        Prototypical(),
        ways=60,
        queries=5,
        tasks=1,
        steps=4_000,
    ),
    **_four(
        "matching",
        "Vinyals et al. 2016, section 4.1 and table 1, without full context",
        _published("98.1", "98.9", "93.8", "98.5"),
        "; cosines times 20, of a linear layer of 256 units",
        Matching(scale=20.0),
        net=Conv4(embedding=256),
    ),
    **_four(
        "matching-full-context",
        "Vinyals et al. 2016, section 2.1.2, full context embeddings",
        dict.fromkeys(SETTINGS, "none"),
        "; cosines times 20, of a linear layer of 256 units; 3 processing steps",
        Matching(full_context=True, scale=20.0),
        net=Conv4(embedding=256),
    ),
    **_four(
        "ridge",
        "Bertinetto et al. 2019, R2-D2, table 2",
        _published(
            "98.55 ± 0.05",
            "99.66 ± 0.02",
            "94.70 ± 0.05",
            "98.91 ± 0.02",
            remark=" (recollected, not seen)",
        ),
        "; Conv4-64, not 96-192-384-512 channels; the regulariser starts at 1, the scale at 10",
        Ridge(lam=1.0, scale=10.0),
    ),
    **_four(
        "siamese",
        "Koch et al. 2015, as reported by Finn et al. 2017, table 1",
        _published("97.3", "98.4", "88.2", "97.0"),
        "; Conv4-64 and 256 sigmoid units on 28x28 images, not the paper's net on 105x105; no "
        "affine distortions",
        Siamese(),
        net=SigmoidUnits(),
        steps=4_000,
    ),
    **_four(
        "relation",
        "Sung et al. 2018, section 4.1 and table 1",
        _published("99.6 ± 0.2", "99.8 ± 0.1", "97.6 ± 0.2", "99.1 ± 0.1", protocol="transductive"),
        ", not a million steps of one episode",
        Relation(),
        net=RelationMaps(),
        ways=20,
    ),
}
