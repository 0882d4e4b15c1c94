"""Meta-reinforcement learning: RL^2 and SNAIL on bandits and MDPs, MAML on 2-D navigation."""

import dataclasses

from jaxmeta.experiments.domains.environments import Bandits, Locomotion, Navigation, TabularMdps
from jaxmeta.experiments.methods.reinforcement import MamlRl, Rl2
from jaxmeta.experiments.nets import Causal, Memory, Mlp
from jaxmeta.experiments.outer import Outer
from jaxmeta.experiments.provenance import Provenance, Published
from jaxmeta.experiments.recipe import Recipe
from jaxmeta.recipes.in_context import IN_CONTEXT

_PPO = "PPO, not TRPO, with values read from the policy's own features"
_RL2 = Recipe(
    provenance=Provenance(
        paper="Duan et al. 2016, section 3.1 and table 1, RL^2, Bernoulli bandits, 5 arms, 10 "
        "pulls",
        published=Published.of("6.7 of 1000 bandits, ± 0.14; the best possible is 6.660"),
        changes=f"{_PPO}; a GRU of 64 units, not 256; 512 trials a step",
    ),
    task=Bandits(),
    net=Memory(hidden=64),
    learner=Rl2(entropy_weight=0.0),
    outer=Outer(
        steps=6_000,
        meta_batch_size=512,
        outer_lr=1e-3,
        schedule="linear",
        clip=0.5,
        steps_per_call=10,
        validate_every=200,
        validation_episodes=4_000,
    ),
    test_episodes=40_000,
)
_MAML = Recipe(
    provenance=Provenance(
        paper="Finn et al. 2017, section 5.3, figure 4 and table 4, MAML, 2-D navigation",
        published=Published.of("-40.41, -11.68, -3.33, -3.23 after 0, 1, 2, 3 gradient steps"),
        changes="reward minus the distance, as in the released code; actions in units of the "
        "largest move, as there (recollected); exact Hessian-vector products; the best policy by "
        "40 tasks held out, not by the training return; the low-variance-curvature estimator",
    ),
    task=Navigation(),
    net=Mlp(hidden=(100, 100), init_scale=None),
    learner=MamlRl(inner_loss="low_variance_curvature"),
    outer=Outer(
        steps=500,
        meta_batch_size=20,
        steps_per_call=5,
        validate_every=25,
        validation_episodes=40,
    ),
    test_episodes=400,
)
_CHEETAH = dataclasses.replace(
    _MAML,
    provenance=dataclasses.replace(
        _MAML.provenance,
        paper="Finn et al. 2017, section 5.3 and table 5, MAML, half-cheetah forward or backward",
        published=Published.of("-50.69, 293.19, 313.48, 315.65 after 0, 1, 2, 3 gradient steps"),
        changes="physics of Brax, generalized, with 17 observations, not MuJoCo with 20; exact "
        "Hessian-vector products; the low-variance-curvature estimator",
    ),
    task=Locomotion(),
    outer=dataclasses.replace(_MAML.outer, meta_batch_size=40),
    test_episodes=40,
)
_ANT = dataclasses.replace(
    _CHEETAH,
    provenance=dataclasses.replace(
        _CHEETAH.provenance,
        paper="Finn et al. 2017, section 5.3 and figure 5, MAML, ant forward or backward",
        published=Published.of("figures only"),
        changes="physics of Brax, generalized, with 27 observations and without the cost of "
        "contacts; exact Hessian-vector products; the low-variance-curvature estimator",
    ),
    task=Locomotion(robot="ant"),
)
AGENTS = IN_CONTEXT | {
    "bandit-rl2-5a10": _RL2,
    "bandit-snail-5a10": dataclasses.replace(
        _RL2,
        provenance=dataclasses.replace(
            _RL2.provenance,
            paper="Mishra et al. 2018, section 5.2 and table 3, SNAIL, Bernoulli bandits, 5 arms, "
            "10 pulls",
            published=Published.of("6.6 ± 0.1 (recollected, not seen)"),
            changes=f"{_PPO}; values and policy share all blocks; 256 trials a step",
        ),
        net=Memory(memory="snail"),
        outer=dataclasses.replace(_RL2.outer, steps=3_000, meta_batch_size=256),
    ),
    "bandit-rl2-transformer-5a10": dataclasses.replace(
        _RL2,
        provenance=dataclasses.replace(
            _RL2.provenance,
            published=Published.of("none with a transformer; the best possible is 6.660"),
            changes=f"{_PPO}; a causal transformer, 2 layers 32 wide, not a GRU; 256 trials a step",
        ),
        net=Causal(width=32),
        outer=dataclasses.replace(_RL2.outer, meta_batch_size=256),
    ),
    "bandit-rl2-10a100": dataclasses.replace(
        _RL2,
        provenance=dataclasses.replace(
            _RL2.provenance,
            paper="Duan et al. 2016, section 3.1 and table 1, RL^2, Bernoulli bandits, 10 arms, "
            "100 pulls",
            published=Published.of("83.5 of 1000 bandits"),
            changes=f"{_PPO}; a GRU of 128 units, not 256; lambda 0.95, not 0.3; 256 trials a step",
        ),
        task=Bandits(n_arms=10, n_pulls=100),
        net=Memory(hidden=128),
        learner=Rl2(gae_lambda=0.95, entropy_weight=0.01),
        outer=dataclasses.replace(_RL2.outer, meta_batch_size=256, validation_episodes=1_000),
        test_episodes=10_000,
    ),
    "mdp-rl2": dataclasses.replace(
        _RL2,
        provenance=dataclasses.replace(
            _RL2.provenance,
            paper="Duan et al. 2016, section 3.2 and table 2, RL^2, random MDPs, 10 states, 5 "
            "actions, 10 episodes of 10 steps",
            published=Published.of("156.2 in all 10 episodes"),
            changes=f"{_PPO}; a GRU of 64 units, not 256; lambda 0.9; 128 trials a step",
        ),
        task=TabularMdps(),
        learner=Rl2(gae_lambda=0.9, entropy_weight=0.0),
        outer=dataclasses.replace(
            _RL2.outer,
            steps=10_000,
            meta_batch_size=128,
            outer_lr=2e-3,
            validation_episodes=1_000,
        ),
        test_episodes=4_000,
    ),
    "navigation-maml": _MAML,
    "navigation-maml-surrogate": dataclasses.replace(
        _MAML,
        provenance=dataclasses.replace(
            _MAML.provenance,
            changes="the paper's own estimator, the plain surrogate; the rest as in "
            "navigation-maml",
        ),
        learner=MamlRl(inner_loss="surrogate"),
    ),
    "navigation-pretrained": dataclasses.replace(
        _MAML,
        provenance=dataclasses.replace(
            _MAML.provenance,
            paper="Finn et al. 2017, section 5.3, the baseline pretrained on all tasks together",
            published=Published.of("none as a number: figure 4"),
        ),
        learner=MamlRl(inner_steps=0),
    ),
    "half-cheetah-direction-maml": _CHEETAH,
    "half-cheetah-velocity-maml": dataclasses.replace(
        _CHEETAH,
        provenance=dataclasses.replace(
            _CHEETAH.provenance,
            paper="Finn et al. 2017, section 5.3 and figure 5, MAML, half-cheetah velocity",
            published=Published.of("a figure only; -139.0 ± 18.9 in Raghu et al. 2020, table 2"),
        ),
        task=Locomotion(goal="velocity"),
    ),
    "ant-direction-maml": dataclasses.replace(
        _ANT, learner=MamlRl(inner_loss="low_variance_curvature", episodes=40)
    ),
    "ant-velocity-maml": dataclasses.replace(
        _ANT,
        provenance=dataclasses.replace(
            _ANT.provenance, paper="Finn et al. 2017, section 5.3 and figure 5, MAML, ant velocity"
        ),
        task=Locomotion(robot="ant", goal="velocity"),
    ),
    "navigation-rl2": dataclasses.replace(
        _RL2,
        provenance=dataclasses.replace(
            _RL2.provenance,
            paper="Duan et al. 2016, RL^2, on the navigation of Finn et al. 2017",
            published=Published.of("none"),
            changes=f"task; {_PPO}; two episodes of 100 steps",
        ),
        task=Navigation(),
        net=Memory(hidden=64),
        learner=Rl2(gae_lambda=0.95, entropy_weight=0.0),
        outer=dataclasses.replace(
            _RL2.outer, steps=2_000, meta_batch_size=128, validation_episodes=200
        ),
        test_episodes=400,
    ),
}
