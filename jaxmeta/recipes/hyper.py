"""The hypernetwork family: HyperTransformer on Omniglot, neural processes, short ones on glyphs."""

import dataclasses

from jaxmeta.experiments.domains.images import Images
from jaxmeta.experiments.domains.regression import GaussianProcess, Sinusoid
from jaxmeta.experiments.methods.hyper import (
    Conditional,
    Hypernetwork,
    HyperTransformer,
    SupportEncoder,
)
from jaxmeta.experiments.nets import Conv4, Mlp
from jaxmeta.experiments.outer import Outer
from jaxmeta.experiments.provenance import Provenance, Published
from jaxmeta.experiments.recipe import Recipe

_HT_CHANGES = (
    "Adam at 0.0005, after a warm-up of 1 000 steps falling by a cosine, 4 tasks a step and 20 000 "
    "steps, not SGD at 0.02 on 4 000 000 single tasks; queries normalised by the support set's "
    "statistics, in training too"
)
_HT = Recipe(
    provenance=Provenance(
        paper="Zhmoginov et al. 2022, section 5 and table 1, HyperTransformer, Omniglot 20-way "
        "1-shot, 8 channels",
        published=Published.of("87.2 %, transductive"),
        changes=f"Vinyals split with rotations at test too; {_HT_CHANGES}",
    ),
    task=Images(dataset="omniglot", n_way=20, q_queries=5, train_n_way=20, train_q_queries=3),
    net=Conv4(width=8),
    learner=HyperTransformer(),
    outer=Outer(
        steps=20_000,
        meta_batch_size=4,
        outer_lr=5e-4,
        schedule="cosine",
        warm_up=1_000,  # Without it the weight tokens of a layer soon become one and the same.
        steps_per_call=10,
        validate_every=1_000,
        validation_episodes=100,
    ),
)


def _channels(number):
    return dataclasses.replace(
        _HT,
        provenance=dataclasses.replace(
            _HT.provenance,
            paper=_HT.paper.replace("8 channels", f"{number} channels"),
            published=Published.of("not found"),
        ),
        net=Conv4(width=number),
    )


def _unlabelled(number):
    return dataclasses.replace(
        _HT,
        provenance=dataclasses.replace(
            _HT.provenance,
            paper="Zhmoginov et al. 2022, section 5.3, semi-supervised, on Omniglot 20-way 1-shot, "
            "8 channels",
            published=Published.of("figures only, tieredImageNet"),
            changes=f"data; {number} unlabelled images per class; {_HT.changes}",
        ),
        task=dataclasses.replace(_HT.task, unlabelled=number),
    )


_GLYPHS_OUTER = Outer(
    steps=4_000,
    meta_batch_size=8,
    schedule="cosine",
    steps_per_call=20,
    validate_every=500,
    validation_episodes=200,
)
_GLYPHS = Images(dataset="glyphs", rotations=False, train_q_queries=5)
_SMALL = Conv4(width=32, strided=True, spatial_mean=True)


def _glyphs(paper, changes, learner, net=_SMALL, **outer):
    return Recipe(
        provenance=Provenance(
            paper=f"{paper}, 5-way 1-shot",
            published=Published.of("none"),
            changes=f"data; {changes}",
        ),
        task=_GLYPHS,
        net=net,
        learner=learner,
        outer=dataclasses.replace(_GLYPHS_OUTER, **outer),
    )


_CURVES = Outer(
    steps=30_000,
    meta_batch_size=16,
    schedule="cosine",
    steps_per_call=500,
    validate_every=5_000,
    validation_episodes=600,
)
_PERCEPTRON = Mlp(hidden=(128, 128), init_scale=None)
HYPER = {
    "omniglot-hypertransformer-20w1s": _HT,
    "omniglot-hypertransformer-20w1s-4-channels": _channels(4),
    "omniglot-hypertransformer-20w1s-16-channels": _channels(16),
    "omniglot-hypertransformer-20w1s-32-channels": _channels(32),
    "omniglot-hypertransformer-20w1s-2-unlabelled": _unlabelled(2),
    "omniglot-hypertransformer-20w1s-5-unlabelled": _unlabelled(5),
    "cifar-fs-hypertransformer-5w1s": dataclasses.replace(
        _HT,
        provenance=dataclasses.replace(
            _HT.provenance,
            paper="Zhmoginov et al. 2022, section 5, as for miniImageNet 5-way 1-shot, 16 channels",
            published=Published.of("not found"),
            changes=f"data; no augmentation; ReLU, not leaky; {_HT_CHANGES}",
        ),
        task=Images(dataset="cifar_fs", rotations=False),
        net=Conv4(width=16),
        learner=HyperTransformer(shared_features=16, heads=8, width_factor=0.5),
    ),
    "glyphs-hypertransformer-5w1s": _glyphs(
        "Zhmoginov et al. 2022, HyperTransformer, as for Omniglot, 8 channels",
        "Adam at 0.001 falling by a cosine, 8 tasks a step; queries normalised by the support "
        "set's statistics",
        HyperTransformer(),
        net=Conv4(width=8),
    ),
    "glyphs-hypernetwork-5w1s": _glyphs(
        "Bertinetto et al. 2016, learned one-shot weights",
        "net and loss; the head alone is generated, from one mean per class",
        Hypernetwork(
            SupportEncoder("class_means", code_size=64, code_hidden=(128,)), generated="head"
        ),
    ),
    "glyphs-conditional-5w1s": _glyphs(
        "Garnelo et al. 2018, section 4.3, as for Omniglot",
        "net; the loss over queries alone",
        Conditional(SupportEncoder("class_means", code_size=64, code_hidden=(128,))),
    ),
    "glyphs-film-5w1s": _glyphs(
        "Perez et al. 2018, FiLM, by the code of the support set",
        "the third of four blocks, by one mean per class",
        Conditional(SupportEncoder("class_means", code_size=64, code_hidden=(128,)), film=True),
    ),
    "glyphs-wavenet-5w1s": _glyphs(
        "van den Oord et al. 2016, causal dilated convolutions over the support set",
        "four layers; the last row's skip sum is the code",
        Conditional(SupportEncoder("wavenet", code_hidden=(128,) * 4)),
    ),
    "gaussian-process-conditional": Recipe(
        provenance=Provenance(
            paper="Garnelo et al. 2018, section 4.1, conditional neural process, 1-D curves",
            published=Published.of("figures only"),
            changes="30 000 steps of 16 tasks at 0.001 falling by a cosine, not 200 000 of 64 at "
            "0.0001; least sigma 0.02, the noise of the curves, not 0.1; the loss over queries "
            "alone; 50 queries",
        ),
        task=GaussianProcess(),
        net=_PERCEPTRON,
        learner=Conditional(least_sigma=0.02),
        outer=_CURVES,
    ),
    "sinusoid-conditional": Recipe(
        provenance=Provenance(
            paper="Garnelo et al. 2018, conditional neural process, on the task of Finn et al. "
            "2017, section 5.1",
            published=Published.of("none"),
            changes="30 000 steps of 16 tasks; least sigma 0.02",
        ),
        task=Sinusoid(),
        net=_PERCEPTRON,
        learner=Conditional(least_sigma=0.02),
        outer=_CURVES,
    ),
    "sinusoid-hypernetwork": Recipe(
        provenance=Provenance(
            paper="Ha et al. 2017, a hypernetwork of the support set, on the task of Finn et al. "
            "2017, section 5.1",
            published=Published.of("none"),
            changes="the target is Finn et al.'s net, all of whose weights are generated",
        ),
        task=Sinusoid(),
        net=Mlp(init_scale=None),
        learner=Hypernetwork(),
        outer=_CURVES,
    ),
}
