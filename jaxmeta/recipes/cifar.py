"""CIFAR-FS and FC100, colour photographs of 32x32 pixels: the embedding is Conv4-64."""

from typing import Literal

from jaxmeta.experiments.domains.images import Images
from jaxmeta.experiments.methods.gradient import Anil, Maml
from jaxmeta.experiments.methods.metric import (
    Matching,
    Prototypical,
    Relation,
    Ridge,
    WholeClassification,
)
from jaxmeta.experiments.nets import Conv4, RelationMaps
from jaxmeta.experiments.outer import Outer
from jaxmeta.experiments.provenance import Provenance, Published
from jaxmeta.experiments.recipe import Recipe

SETTINGS = {"5w1s": 1, "5w5s": 5}
DataSet = Literal["cifar_fs", "fc100"]
TITLES = {"cifar_fs": "CIFAR-FS", "fc100": "FC100"}
NONE = ("none", "none")


def _metric(dataset: DataSet, name, paper, published, changes, learner, net=None):
    """The recipes `cifar-fs-NAME-5w1s` and `-5w5s`, or those of FC100, of a metric learner."""
    return {
        f"{dataset.replace('_', '-')}-{name}-{setting}": Recipe(
            provenance=Provenance(
                paper=f"{paper}, {TITLES[dataset]} 5-way {k_shot}-shot, Conv4-64",
                published=Published.of(number if number == "none" else f"{number} %, inductive"),
                changes="batch normalisation by the support set's statistics; one episode of 20 "
                "ways and 5 queries per class a step, 10 000 steps, the rate falling by a cosine; "
                "random "
                f"crops and mirror images{changes}",
            ),
            task=Images(
                dataset=dataset,
                rotations=False,
                k_shot=k_shot,
                train_n_way=20,
                train_k_shot=k_shot,
                train_q_queries=5,
                augment=("crop", "flip"),
            ),
            net=net or Conv4(),
            learner=learner,
            outer=Outer(
                steps=10_000,
                meta_batch_size=1,
                outer_lr=2e-3,
                schedule="cosine",
                weight_decay=5e-4,
                steps_per_call=20,
                validate_every=500,
                validation_episodes=300,
            ),
            test_episodes=2_000,
        )
        for (setting, k_shot), number in zip(SETTINGS.items(), published, strict=True)
    }


def _pretrained(dataset: DataSet, published):
    """The recipes `cifar-fs-rfs-5w1s` and `-5w5s`, or those of FC100: one training serves both."""
    return {
        f"{dataset.replace('_', '-')}-rfs-{setting}": Recipe(
            provenance=Provenance(
                paper=f"Tian et al. 2020, RFS simple, as listed in public tables, "
                f"{TITLES[dataset]} 5-way {k_shot}-shot, Conv4-64",
                published=Published.of(f"{number} %, inductive"),
                changes="40 epochs of the training classes by AdamW, the rate falling by a cosine, "
                "not 100 by SGD with momentum; random crops and mirror images, no change of colour",
            ),
            task=Images(
                dataset=dataset,
                rotations=False,
                k_shot=k_shot,
                whole_batch=64,
                augment=("crop", "flip"),
            ),
            net=Conv4(),
            learner=WholeClassification(),
            outer=Outer(
                steps=24_000,
                meta_batch_size=1,
                outer_lr=2e-3,
                schedule="cosine",
                weight_decay=5e-4,
                steps_per_call=50,
                validate_every=1_000,
                validation_episodes=300,
            ),
            test_episodes=2_000,
        )
        for (setting, k_shot), number in zip(SETTINGS.items(), published, strict=True)
    }


def _gradient(dataset: DataSet, name, paper, published, learner):
    """The same of a learner that adapts by gradient steps."""
    return {
        f"{dataset.replace('_', '-')}-{name}-{setting}": Recipe(
            provenance=Provenance(
                paper=f"{paper}, {TITLES[dataset]} 5-way {k_shot}-shot, Conv4",
                published=Published.of(number if number == "none" else f"{number} %"),
                changes="Conv4-32; batch normalisation by the support set's statistics; 10 000 "
                "steps of 4 tasks, the rate falling by a cosine; random mirror images",
            ),
            task=Images(
                dataset=dataset,
                rotations=False,
                k_shot=k_shot,
                train_k_shot=k_shot,
                augment=("flip",),
            ),
            net=Conv4(width=32),
            learner=learner,
            outer=Outer(
                steps=10_000,
                meta_batch_size=4,
                schedule="cosine",
                steps_per_call=10,
                validate_every=500,
                validation_episodes=300,
            ),
            test_episodes=2_000,
        )
        for (setting, k_shot), number in zip(SETTINGS.items(), published, strict=True)
    }


# Where the numbers stand, which the methods' own papers do not have.
_LEE = "as quoted by Lee et al. 2019, table 2"
_PADDLE = "as listed in PaddleFSL's README"
_PADDLE_FIRST_ORDER = f"first order, {_PADDLE}"
_README = "as quoted in public READMEs"


def _all(dataset: DataSet, *, prototypical, relation, ridge, maml, anil, rfs):
    """Of each method where its numbers stand, and the two numbers."""
    return {
        **_metric(
            dataset,
            "prototypical",
            f"Snell et al. 2017, {prototypical[0]}",
            prototypical[1:],
            "",
            Prototypical(),
        ),
        **_metric(
            dataset,
            "matching",
            "Vinyals et al. 2016, without full context",
            NONE,
            "; cosines times 20, of a linear layer of 256 units",
            Matching(scale=20.0),
            Conv4(embedding=256),
        ),
        **_metric(
            dataset,
            "relation",
            f"Sung et al. 2018, {relation[0]}",
            relation[1:],
            "",
            Relation(),
            RelationMaps(),
        ),
        **_metric(
            dataset,
            "ridge",
            f"Bertinetto et al. 2019, R2-D2, {ridge[0]}",
            ridge[1:],
            "; the regulariser starts at 1, the scale at 10",
            Ridge(lam=1.0, scale=10.0),
        ),
        **_gradient(
            dataset,
            "maml",
            f"Finn et al. 2017, MAML, {maml[0]}",
            maml[1:],
            Maml(inner_lr=0.1, inner_steps=5, test_inner_steps=10),
        ),
        **_gradient(
            dataset,
            "anil",
            f"Raghu et al. 2020, ANIL, {anil[0]}",
            anil[1:],
            Anil(inner_lr=0.1, inner_steps=5, test_inner_steps=10),
        ),
        **_pretrained(dataset, rfs),
    }


CIFAR = {
    **_all(
        "cifar_fs",
        prototypical=(_LEE, "55.5 ± 0.7", "72.0 ± 0.6"),
        relation=(_LEE, "55.0 ± 1.0", "69.3 ± 0.8"),
        ridge=(_README, "60.0", "76.1"),
        maml=(_LEE, "58.9 ± 1.9", "71.5 ± 1.0"),
        anil=(_PADDLE_FIRST_ORDER, "56.2 ± 3.4", "68.6 ± 1.3"),
        rfs=("62.7 ± 0.8", "78.7 ± 0.5"),
    ),
    **_all(
        "fc100",
        prototypical=(_LEE, "35.3 ± 0.6", "48.6 ± 0.6"),
        relation=(_PADDLE, "35.8 ± 0.2", "47.8 ± 0.2"),
        ridge=("which has no figure there", *NONE),
        maml=(_PADDLE_FIRST_ORDER, "37.6 ± 2.2", "49.1 ± 1.6"),
        anil=(_PADDLE_FIRST_ORDER, "40.7 ± 3.3", "48.0 ± 1.2"),
        rfs=("39.6", "53.5"),
    ),
}
