"""Configs of earlier run folders.

The first do not say of what types their parts are, and have what is known of the paper as texts.
"""

from typing import Any

from jaxmeta.experiments.codec import TYPE, encode
from jaxmeta.experiments.provenance import Provenance, Published

# Types of task, net and learner, and the recipes of them that there were. A folder written since
# says itself what it holds, so nothing is added here.
KINDS = {
    ("Bandits", "Reader", "DecisionPretrained"): ("bandit-dpt-5a10",),
    ("DarkRoom", "Reader", "DecisionPretrained"): ("dark-room-dpt",),
    ("Sinusoid", "Mlp", "Maml"): (
        "sinusoid-maml",
        "sinusoid-fomaml",
        "sinusoid-pretrained",
    ),
    ("Sinusoid", "Mlp", "Anil"): ("sinusoid-anil",),
    ("Sinusoid", "Mlp", "MetaSgd"): ("sinusoid-meta-sgd",),
    ("Sinusoid", "Mlp", "Reptile"): ("sinusoid-reptile",),
    ("Quadratic", "Linear", "LearnedOptimizer"): ("quadratic-learned-optimizer",),
    ("Images", "Conv4", "Maml"): (
        "glyphs-maml-5w1s",
        "glyphs-fomaml-5w1s",
        "omniglot-maml-5w1s",
        "omniglot-maml-20w1s",
        "omniglot-maml-20w1s-8-channels",
        "omniglot-fomaml-5w1s",
        "omniglot-fomaml-20w1s",
    ),
    ("Images", "Conv4", "Anil"): ("glyphs-anil-5w1s",),
    ("Images", "Conv4", "MetaSgd"): ("glyphs-meta-sgd-5w1s",),
    ("Images", "Conv4", "MamlPlusPlus"): ("glyphs-maml-plus-plus-5w1s",),
    ("Images", "Conv4", "Cavia"): ("glyphs-cavia-5w1s",),
    ("Images", "Conv4", "Imaml"): ("glyphs-imaml-5w1s",),
    ("Images", "Conv4", "MetaLstm"): ("glyphs-meta-lstm-5w1s",),
    ("Images", "Conv4", "Prototypical"): (
        "glyphs-prototypical-5w1s",
        "omniglot-prototypical-5w1s",
        "omniglot-prototypical-5w5s",
        "omniglot-prototypical-20w1s",
        "omniglot-prototypical-20w5s",
    ),
    ("Images", "Conv4", "Matching"): (
        "glyphs-matching-5w1s",
        "glyphs-matching-full-context-5w1s",
        "omniglot-matching-5w1s",
        "omniglot-matching-5w5s",
        "omniglot-matching-20w1s",
        "omniglot-matching-20w5s",
        "omniglot-matching-full-context-5w1s",
        "omniglot-matching-full-context-5w5s",
        "omniglot-matching-full-context-20w1s",
        "omniglot-matching-full-context-20w5s",
    ),
    ("Images", "Conv4", "Ridge"): (
        "glyphs-ridge-5w1s",
        "omniglot-ridge-5w1s",
        "omniglot-ridge-5w5s",
        "omniglot-ridge-20w1s",
        "omniglot-ridge-20w5s",
    ),
    ("Images", "SigmoidUnits", "Siamese"): (
        "glyphs-siamese-5w1s",
        "omniglot-siamese-5w1s",
        "omniglot-siamese-5w5s",
        "omniglot-siamese-20w1s",
        "omniglot-siamese-20w5s",
    ),
    ("Images", "RelationMaps", "Relation"): (
        "glyphs-relation-5w1s",
        "omniglot-relation-5w1s",
        "omniglot-relation-5w5s",
        "omniglot-relation-20w1s",
        "omniglot-relation-20w5s",
    ),
    ("Images", "Conv4", "Reptile"): (
        "omniglot-reptile-5w1s",
        "omniglot-reptile-20w1s",
    ),
    ("Streams", "Pixels", "Mann"): (
        "glyphs-mann-3",
        "glyphs-mann-5",
        "omniglot-mann-5",
        "omniglot-mann-15-strings",
    ),
    ("Images", "Conv4", "Snail"): (
        "glyphs-snail-5w1s",
        "omniglot-snail-5w1s",
        "omniglot-snail-20w1s",
    ),
    ("Images", "Augmented", "MetaNetworks"): (
        "glyphs-meta-networks-5w1s",
        "omniglot-meta-networks-5w1s",
        "omniglot-meta-networks-20w1s",
    ),
    ("Images", "Conv4", "HyperTransformer"): (
        "omniglot-hypertransformer-20w1s",
        "omniglot-hypertransformer-20w1s-4-channels",
        "omniglot-hypertransformer-20w1s-16-channels",
        "omniglot-hypertransformer-20w1s-32-channels",
        "omniglot-hypertransformer-20w1s-2-unlabelled",
        "omniglot-hypertransformer-20w1s-5-unlabelled",
        "cifar-fs-hypertransformer-5w1s",
        "glyphs-hypertransformer-5w1s",
    ),
    ("Images", "Conv4", "Hypernetwork"): ("glyphs-hypernetwork-5w1s",),
    ("Images", "Conv4", "Conditional"): (
        "glyphs-conditional-5w1s",
        "glyphs-film-5w1s",
        "glyphs-wavenet-5w1s",
    ),
    ("GaussianProcess", "Mlp", "Conditional"): ("gaussian-process-conditional",),
    ("Sinusoid", "Mlp", "Conditional"): ("sinusoid-conditional",),
    ("Sinusoid", "Mlp", "Hypernetwork"): ("sinusoid-hypernetwork",),
    ("Bandits", "Memory", "Rl2"): (
        "bandit-rl2-5a10",
        "bandit-snail-5a10",
        "bandit-rl2-10a100",
    ),
    ("TabularMdps", "Memory", "Rl2"): ("mdp-rl2",),
    ("Navigation", "Mlp", "MamlRl"): (
        "navigation-maml",
        "navigation-maml-surrogate",
        "navigation-pretrained",
    ),
    ("Locomotion", "Mlp", "MamlRl"): (
        "half-cheetah-direction-maml",
        "half-cheetah-velocity-maml",
        "ant-direction-maml",
        "ant-velocity-maml",
    ),
    ("Navigation", "Memory", "Rl2"): ("navigation-rl2",),
}


def tagged(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a recipe with the types that they lack.

    Raises:
      ValueError: no such recipe was ever run without them.
    """
    for kinds, names in KINDS.items():
        if name in names:
            types = dict(zip(("task", "net", "learner"), kinds, strict=True), outer="Outer")
            parts = {part: {TYPE: kind, **fields[part]} for part, kind in types.items()}
            if "encoder" in parts["learner"]:
                encoder = {TYPE: "SupportEncoder", **parts["learner"]["encoder"]}
                parts["learner"]["encoder"] = encoder
            return {TYPE: "Recipe", **fields, **parts}
    raise ValueError(f"unknown recipe {name!r}, and its fields do not say of what types they are.")


def with_provenance(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a recipe, those of its paper in a `Provenance`."""
    texts = {name: fields[name] for name in ("paper", "published", "changes") if name in fields}
    if not texts or not all(isinstance(text, str) for text in texts.values()):
        return fields
    texts["published"] = Published.of(texts.get("published", "none"))
    rest = {name: part for name, part in fields.items() if name not in texts}
    return {**rest, "provenance": encode(Provenance(**texts))}
