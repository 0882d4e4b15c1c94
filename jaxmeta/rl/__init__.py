"""Meta-reinforcement learning: tasks are environments, agents act and learn in one program."""

from jaxmeta.rl import bandits, environments, locomotion
from jaxmeta.rl._algorithm_distillation import algorithm_distillation
from jaxmeta.rl._buffer import Trajectory, TrajectoryBuffer, Windows
from jaxmeta.rl._context import ContextReader, context_reader
from jaxmeta.rl._decision_pretrained import best_action_logits, decision_pretrained
from jaxmeta.rl._hdf5 import read_hdf5
from jaxmeta.rl._maml_rl import maml_rl
from jaxmeta.rl._offline import offline_trials, teacher_with_noise
from jaxmeta.rl._online import OnlineRounds, online_rounds
from jaxmeta.rl._online_decision_transformer import online_decision_transformer
from jaxmeta.rl._rl2 import rl2
from jaxmeta.rl._rollout import rollout
from jaxmeta.rl._scores import acting, likelihood
from jaxmeta.rl._snail import snail
from jaxmeta.rl._sources import q_learning
from jaxmeta.rl._transformer import transformer, transformer_attention
from jaxmeta.rl._trust_region import trust_region_step
from jaxmeta.rl.advantages import gae, linear_baseline, no_baseline
from jaxmeta.rl.agent import Agent
from jaxmeta.rl.inner_losses import dice, low_variance_curvature, surrogate
from jaxmeta.rl.recurrent import MemoryPolicy, gru, lstm
from jaxmeta.rl.updates import a2c, imitation, ppo, trpo

__all__ = [
    "Agent",
    "ContextReader",
    "MemoryPolicy",
    "OnlineRounds",
    "Trajectory",
    "TrajectoryBuffer",
    "Windows",
    "a2c",
    "acting",
    "algorithm_distillation",
    "bandits",
    "best_action_logits",
    "context_reader",
    "decision_pretrained",
    "dice",
    "environments",
    "gae",
    "gru",
    "imitation",
    "likelihood",
    "linear_baseline",
    "locomotion",
    "low_variance_curvature",
    "lstm",
    "maml_rl",
    "no_baseline",
    "offline_trials",
    "online_decision_transformer",
    "online_rounds",
    "ppo",
    "q_learning",
    "read_hdf5",
    "rl2",
    "rollout",
    "snail",
    "surrogate",
    "teacher_with_noise",
    "transformer",
    "transformer_attention",
    "trpo",
    "trust_region_step",
]
