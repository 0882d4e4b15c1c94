"""Random quadratics, for learned optimisers (Andrychowicz et al. 2016, section 3.1)."""

from jaxmeta.experiments.domains.regression import Quadratic
from jaxmeta.experiments.methods.gradient import LearnedOptimizer
from jaxmeta.experiments.nets import Linear
from jaxmeta.experiments.outer import Outer
from jaxmeta.experiments.provenance import Provenance, Published
from jaxmeta.experiments.recipe import Recipe

QUADRATIC = {
    "quadratic-learned-optimizer": Recipe(
        provenance=Provenance(
            paper="Andrychowicz et al. 2016, section 3.1, 10-dimensional quadratics",
            published=Published.of("figures only: below tuned SGD, Adam and others at 100 steps"),
            changes="the mean of the squares, not their sum; output times 0.1; one outer update "
            "per trajectory of 100 steps, cut every 20",
        ),
        task=Quadratic(),
        net=Linear(),
        learner=LearnedOptimizer(scale=0.1),
        outer=Outer(
            steps=2_000,
            meta_batch_size=128,
            outer_lr=3e-3,
            schedule="cosine",
            clip=1.0,
            steps_per_call=20,
            validate_every=200,
        ),
    ),
}
