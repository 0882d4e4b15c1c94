"""In-context agents: decision-pretrained transformers on bandits and in the dark room."""

import dataclasses

from jaxmeta.recipes._agents import Bandits
from jaxmeta.recipes._in_context import DarkRoom, DecisionPretrained, Reader
from jaxmeta.recipes._recipe import Outer, Recipe

_SET = (
    "the context read as a set, not by GPT-2; a query state for each prefix; fresh contexts at "
    "every step, not a data set; Adam without weight decay"
)
_BANDIT = Recipe(
    paper="Lee et al. 2023, section 4 and theorem 1, a decision-pretrained transformer on the "
    "Bernoulli bandits of Duan et al. 2016, 5 arms, 10 pulls",
    published="none there; by the theorem Thompson sampling, 5.837",
    changes=f"{_SET}; Bernoulli arms and 10 pulls, not Gaussian arms and 500",
    task=Bandits(),
    net=Reader(width=32, layers=2, heads=2),
    learner=DecisionPretrained(context=10),
    outer=Outer(
        steps=8_000,
        meta_batch_size=128,
        outer_lr=2e-3,
        schedule="cosine",
        clip=1.0,
        steps_per_call=50,
        validate_every=1_000,
        validation_episodes=5_000,
    ),
    test_episodes=40_000,
)
IN_CONTEXT = {
    "bandit-dpt-5a10": _BANDIT,
    "dark-room-dpt": dataclasses.replace(
        _BANDIT,
        paper="Lee et al. 2023, section 5, a decision-pretrained transformer in the Dark Room, "
        "10x10, 100 steps",
        published="a figure only; the best possible is 91.99 an episode",
        changes=f"{_SET}; the teacher acts in a share of the steps of half of the contexts",
        task=DarkRoom(),
        net=Reader(width=64, layers=3, heads=2),
        learner=DecisionPretrained(context=100, teacher_share=0.5),
        outer=dataclasses.replace(
            _BANDIT.outer,
            steps=10_000,
            meta_batch_size=32,
            outer_lr=1e-3,
            validation_episodes=1_000,
        ),
        test_episodes=1_000,
    ),
}
