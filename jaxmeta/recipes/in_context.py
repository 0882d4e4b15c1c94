"""In-context agents: decision-pretrained transformers on bandits and in the dark room."""

import dataclasses

from jaxmeta.experiments.domains.environments import Bandits, DarkRoom, KeyToDoor, Navigation
from jaxmeta.experiments.methods.in_context import (
    AlgorithmDistillation,
    DecisionPretrained,
    OnlineDecisionTransformer,
)
from jaxmeta.experiments.nets import Causal, Reader
from jaxmeta.experiments.outer import Outer
from jaxmeta.experiments.provenance import Provenance, Published
from jaxmeta.experiments.recipe import Recipe

_SET = (
    "the context read as a set, not by GPT-2; a query state for each prefix; fresh contexts at "
    "every step, not a data set; Adam without weight decay"
)
_BANDIT = Recipe(
    provenance=Provenance(
        paper="Lee et al. 2023, section 4 and theorem 1, a decision-pretrained transformer on the "
        "Bernoulli bandits of Duan et al. 2016, 5 arms, 10 pulls",
        published=Published.of("none there; by the theorem Thompson sampling, 5.837"),
        changes=f"{_SET}; Bernoulli arms and 10 pulls, not Gaussian arms and 500",
    ),
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
_ROUNDS = (
    "Adam, not LAMB; a net of 2 layers 32 wide, not 4 layers 512 wide, without dropout; given data "
    "of a noisy teacher; trials of several episodes in a task that is not shown"
)
_ON_D4RL = (
    "on other tasks: 97.5 on D4RL's hopper-medium (recollected, not seen), which is not "
    "reproduced, as its data could not be had; rl.read_hdf5 reads them"
)
# Nothing is drawn at random in these tables, so a rate of 1 is exact.
_SOURCE = AlgorithmDistillation(rate=1.0, first_value=0.3, exploration=(0.0, 0.0))
_DISTILLED = Recipe(
    provenance=Provenance(
        paper="Laskin et al. 2022, section 4, algorithm distillation in the Dark Room, 9x9, 20 "
        "steps",
        published=Published.of("a figure only; the best possible is 16.54 an episode"),
        changes="the source is Q-learning in a table, not A3C; whole histories, thinned out "
        "to the episodes of a trial; fresh histories at every step; 2 layers, not 4",
    ),
    task=DarkRoom(size=9, horizon=20, start=(4, 4), trial=10),
    net=Causal(width=32),
    learner=_SOURCE,
    outer=Outer(
        steps=20_000,
        meta_batch_size=16,
        outer_lr=3e-3,
        schedule="cosine",
        clip=1.0,
        steps_per_call=20,
        validate_every=1_000,
        validation_episodes=200,
    ),
    test_episodes=1_000,
)
_ROOM_ROUNDS = Recipe(
    provenance=Provenance(
        paper="Zheng, Zhang & Grover 2022, an online decision transformer, in the Dark Room of "
        "Laskin et al. 2022, 9x9, 20 steps",
        published=Published.of(f"{_ON_D4RL}; here the best possible is 16.54 an episode"),
        changes=_ROUNDS,
    ),
    task=DarkRoom(size=9, horizon=20, start=(4, 4), trial=4),
    net=Causal(width=32),
    learner=OnlineDecisionTransformer(
        target_return=30.0,
        exploration=1.2,
        context=40,
        greedy=False,
        most_skill=0.5,
        updates=50,
        windows=16,
    ),
    outer=Outer(
        steps=60,
        meta_batch_size=16,
        outer_lr=1e-3,
        warm_up=2,
        clip=0.25,
        steps_per_call=1,
        validate_every=5,
        validation_episodes=200,
    ),
    test_episodes=1_000,
)
IN_CONTEXT = {
    "dark-room-ad": _DISTILLED,
    "key-to-door-ad": dataclasses.replace(
        _DISTILLED,
        provenance=dataclasses.replace(
            _DISTILLED.provenance,
            paper="Laskin et al. 2022, section 4, algorithm distillation in the Dark Key-to-Door, "
            "9x9, 50 steps",
            published=Published.of("a figure only; the best possible is 2 an episode"),
            changes=f"{_DISTILLED.changes}; the source sees whether it has the key",
        ),
        task=KeyToDoor(trial=10),
        learner=dataclasses.replace(_SOURCE, source_episodes=200),
    ),
    "dark-room-odt": _ROOM_ROUNDS,
    "navigation-odt": dataclasses.replace(
        _ROOM_ROUNDS,
        provenance=dataclasses.replace(
            _ROOM_ROUNDS.provenance,
            paper="Zheng, Zhang & Grover 2022, an online decision transformer, on the navigation "
            "of Finn et al. 2017",
            published=Published.of(_ON_D4RL),
        ),
        task=Navigation(horizon=20),
        learner=OnlineDecisionTransformer(
            target_return=-8.0, exploration=0.5, context=20, most_skill=0.5
        ),
    ),
    "bandit-dpt-5a10": _BANDIT,
    "dark-room-dpt": dataclasses.replace(
        _BANDIT,
        provenance=dataclasses.replace(
            _BANDIT.provenance,
            paper="Lee et al. 2023, section 5, a decision-pretrained transformer in the Dark Room, "
            "10x10, 100 steps",
            published=Published.of("a figure only; the best possible is 91.99 an episode"),
            changes=f"{_SET}; the teacher acts in a share of the steps of half of the contexts",
        ),
        task=DarkRoom(),
        net=Reader(width=32, layers=3, heads=2),
        learner=DecisionPretrained(context=100, teacher_share=0.5),
        outer=dataclasses.replace(_BANDIT.outer, meta_batch_size=16, validation_episodes=500),
        test_episodes=1_000,
    ),
}
