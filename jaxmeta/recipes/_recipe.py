"""What a recipe is made of: frozen dataclasses, every field of which the command line can set."""

import dataclasses
from typing import Any, Literal

import jax.nn.initializers as init
import optax

import jaxmeta.learners.gradient as gradient
from jaxmeta import losses, networks
from jaxmeta.inner import rules
from jaxmeta.learner import Learner, Net

Derivative = Literal["reverse", "forward_over_reverse", "first_order"]


@dataclasses.dataclass(frozen=True)
class Maml:
    """MAML; FOMAML with `derivative="first_order"`."""

    inner_lr: float = 0.01
    """step size of the inner loop"""
    inner_steps: int = 5
    """gradient steps on the support set in training"""
    test_inner_steps: int = 10
    """gradient steps on the support set at test"""
    derivative: Derivative = "forward_over_reverse"
    """second order in one of two ways, or first order"""
    transductive: bool = False
    """train with the query set's own batch statistics"""

    def build(self, net: Net, loss_fn: losses.LossFn, inner_steps: int) -> Learner:
        """The learner with that many inner steps."""
        return gradient.maml(
            net,
            rule=rules.sgd(self.inner_lr),
            inner_steps=inner_steps,
            loss_fn=loss_fn,
            derivative=self.derivative,
            transductive=self.transductive,
        )


@dataclasses.dataclass(frozen=True)
class Anil(Maml):
    """ANIL: the inner loop moves the head alone."""

    def build(self, net, loss_fn, inner_steps):
        return gradient.anil(
            net,
            rule=rules.sgd(self.inner_lr),
            inner_steps=inner_steps,
            loss_fn=loss_fn,
            derivative=self.derivative,
            transductive=self.transductive,
        )


@dataclasses.dataclass(frozen=True)
class MetaSgd(Maml):
    """Meta-SGD: `inner_lr` is where every weight's learned rate starts."""

    def build(self, net, loss_fn, inner_steps):
        return gradient.meta_sgd(
            net,
            lr=self.inner_lr,
            inner_steps=inner_steps,
            loss_fn=loss_fn,
            derivative=self.derivative,
            transductive=self.transductive,
        )


@dataclasses.dataclass(frozen=True)
class Reptile:
    """Reptile, with Adam without momentum in the inner loop."""

    inner_lr: float = 1e-3
    """step size of the inner Adam"""
    inner_steps: int = 5
    """steps per task in training"""
    test_inner_steps: int = 50
    """steps at test"""
    inner_batch: int | None = 10
    """support rows per step in training; None: all"""
    test_inner_batch: int | None = 5
    """support rows per step at test; None: all"""

    def build(self, net, loss_fn, inner_steps, batch_size=None):
        """The learner with that many inner steps."""
        return gradient.reptile(
            net,
            rule=rules.from_optax(optax.adam(self.inner_lr, b1=0.0)),
            inner_steps=inner_steps,
            batch_size=batch_size,
            loss_fn=loss_fn,
        )


@dataclasses.dataclass(frozen=True)
class MamlPlusPlus:
    """MAML++; as many inner steps at test as in training."""

    inner_lr: float = 0.1
    """where every learned rate starts"""
    inner_steps: int = 5
    """gradient steps on the support set"""
    test_inner_steps: int = 5
    """the same number"""
    annealing_steps: int = 2000
    """meta-steps until the loss after the last step alone counts"""
    derivative: Derivative = "forward_over_reverse"
    """second order in one of two ways, or first order"""

    def build(self, net: Net, loss_fn: losses.LossFn, inner_steps: int) -> Learner:
        """The learner with that many inner steps, at most those of training."""
        return gradient.maml_plus_plus(
            net,
            lr=self.inner_lr,
            inner_steps=inner_steps,
            annealing_steps=self.annealing_steps,
            loss_fn=loss_fn,
            derivative=self.derivative,
        )


@dataclasses.dataclass(frozen=True)
class Cavia:
    """CAVIA."""

    context_size: int = 100
    """numbers in the context"""
    inner_lr: float = 1.0
    """step size of the inner loop"""
    inner_steps: int = 2
    """gradient steps on the support set in training"""
    test_inner_steps: int = 2
    """gradient steps on the support set at test"""
    derivative: Derivative = "forward_over_reverse"
    """second order in one of two ways, or first order"""

    def build(self, net: Net, loss_fn: losses.LossFn, inner_steps: int) -> Learner:
        """The learner with that many inner steps."""
        return gradient.cavia(
            net,
            context_size=self.context_size,
            rule=rules.sgd(self.inner_lr),
            inner_steps=inner_steps,
            loss_fn=loss_fn,
            derivative=self.derivative,
        )


@dataclasses.dataclass(frozen=True)
class Imaml:
    """iMAML."""

    inner_lr: float = 0.1
    """step size of the inner solver"""
    inner_steps: int = 16
    """steps of the inner solver in training"""
    test_inner_steps: int = 16
    """steps of the inner solver at test"""
    lam: float = 2.0
    """pull towards the initialisation"""
    cg_steps: int = 5
    """conjugate-gradient steps"""
    damping: float = 0.0
    """added to the linear system"""

    def build(self, net: Net, loss_fn: losses.LossFn, inner_steps: int) -> Learner:
        """The learner with that many inner steps."""
        return gradient.imaml(
            net,
            rule=rules.sgd(self.inner_lr),
            inner_steps=inner_steps,
            lam=self.lam,
            cg_steps=self.cg_steps,
            damping=self.damping,
            loss_fn=loss_fn,
        )


@dataclasses.dataclass(frozen=True)
class MetaLstm:
    """The LSTM meta-learner."""

    hidden: int = 20
    """units of the LSTM under the gates"""
    inner_steps: int = 12
    """updates in training"""
    test_inner_steps: int = 12
    """updates at test"""

    def build(self, net: Net, loss_fn: losses.LossFn, inner_steps: int) -> Learner:
        """The learner with that many updates."""
        return gradient.meta_lstm(net, hidden=self.hidden, inner_steps=inner_steps, loss_fn=loss_fn)


@dataclasses.dataclass(frozen=True)
class LearnedOptimizer:
    """The learned optimiser, on gradients as they are."""

    hidden: int = 20
    """units of each LSTM"""
    layers: int = 2
    """LSTMs on top of each other"""
    scale: float = 0.1
    """factor of the output"""
    unroll: int = 20
    """steps of a window of truncated backpropagation"""
    inner_steps: int = 100
    """updates in training"""
    test_inner_steps: int = 100
    """updates at test"""

    def build(self, net: Net, loss_fn: losses.LossFn, inner_steps: int) -> Learner:
        """The learner with that many updates."""
        rule = rules.coordinatewise_lstm(
            self.hidden,
            layers=self.layers,
            scale=self.scale,
            preprocess=lambda grad: grad[:, None],
        )
        return gradient.learned_optimizer(
            net, rule=rule, inner_steps=inner_steps, unroll=self.unroll, loss_fn=loss_fn
        )


@dataclasses.dataclass(frozen=True)
class Prototypical:
    """Prototypical networks."""


@dataclasses.dataclass(frozen=True)
class Sinusoid:
    """Regression of `a sin(x - p)`."""

    k_shot: int = 10
    """support points in training"""
    q_queries: int = 10
    """query points in training"""
    test_k_shot: int = 5
    """support points at test"""
    test_q_queries: int = 100
    """query points at test"""


@dataclasses.dataclass(frozen=True)
class Quadratic:
    """Least squares in a few unknowns."""

    dimension: int = 10
    """unknowns, and equations"""


@dataclasses.dataclass(frozen=True)
class Images:
    """Few-shot classification of images."""

    dataset: Literal["glyphs", "omniglot"] = "glyphs"
    """where the images come from"""
    data_dir: str | None = None
    """folder with the data set's files; None: see `jaxmeta.datasets`"""
    split: Literal["vinyals", "random"] = "vinyals"
    """Omniglot's 1028/172/423 characters, or 1100/100/423 at random"""
    rotations: bool = True
    """images turned by right angles are further classes, in training and at test"""
    n_way: int = 5
    """classes per episode at test"""
    k_shot: int = 1
    """support images per class at test"""
    q_queries: int = 15
    """query images per class at test"""
    train_n_way: int = 5
    """classes per episode in training"""
    train_k_shot: int = 1
    """support images per class in training"""
    train_q_queries: int = 15
    """query images per class in training"""


@dataclasses.dataclass(frozen=True)
class Mlp:
    """The sinusoid net of Finn et al."""

    hidden: tuple[int, ...] = (40, 40)
    """widths of the hidden layers"""
    init_scale: float | None = 0.01
    """standard deviation of the first kernels; None: Glorot's rule"""

    def build(self, n_outputs):
        """The module."""
        scale = self.init_scale
        kernel_init = init.glorot_normal() if scale is None else init.truncated_normal(scale)
        return networks.mlp(n_outputs, hidden=self.hidden, kernel_init=kernel_init)


@dataclasses.dataclass(frozen=True)
class Linear:
    """The unknowns of a quadratic problem as a linear net without bias."""

    init_scale: float = 0.01
    """standard deviation of the start"""

    def build(self, n_outputs):
        """The module."""
        return networks.linear(n_outputs, use_bias=False, init_scale=self.init_scale)


@dataclasses.dataclass(frozen=True)
class Conv4:
    """Four convolutional blocks."""

    width: int = 64
    """channels"""
    strided: bool = False
    """steps of 2 in place of max-pooling"""
    spatial_mean: bool = False
    """average the last map in place of flattening it"""

    def build(self, n_outputs):
        """The module."""
        return networks.conv4(
            n_outputs, width=self.width, strided=self.strided, spatial_mean=self.spatial_mean
        )


@dataclasses.dataclass(frozen=True)
class Outer:
    """The outer loop."""

    steps: int = 10000
    """meta-steps"""
    meta_batch_size: int = 4
    """tasks per meta-step"""
    outer_lr: float = 1e-3
    """rate of the outer optimiser"""
    optimiser: Literal["adam", "sgd"] = "adam"
    """outer optimiser; Reptile's is sgd"""
    schedule: Literal["constant", "linear", "cosine", "halving"] = "constant"
    """the rate over the run: constant, to zero linearly or by a cosine, or halved at intervals"""
    clip: float | None = None
    """largest norm of the meta-gradient; None: no limit"""
    halve_every: int = 2000
    """meta-steps between two halvings"""
    steps_per_call: int = 10
    """meta-steps in one compiled call"""
    validate_every: int = 500
    """meta-steps between two evaluations on meta_val"""
    validation_episodes: int = 200
    """episodes of each"""
    seed: int = 0
    """seed of everything"""

    def build(self) -> optax.GradientTransformation:
        """The optax transformation."""
        rate = {
            "constant": optax.constant_schedule(self.outer_lr),
            "linear": optax.linear_schedule(self.outer_lr, 0.0, self.steps),
            "cosine": optax.cosine_decay_schedule(self.outer_lr, self.steps),
            "halving": optax.exponential_decay(
                self.outer_lr, self.halve_every, 0.5, staircase=True
            ),
        }[self.schedule]
        tx = optax.adam(rate) if self.optimiser == "adam" else optax.sgd(rate)
        return tx if self.clip is None else optax.chain(optax.clip_by_global_norm(self.clip), tx)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One experiment: what the paper did, and what is done here."""

    paper: str
    """paper and setting"""
    published: str
    """the number to reach; "none" where there is none"""
    changes: str
    """what this recipe changes against the paper"""
    task: Sinusoid | Quadratic | Images
    net: Mlp | Linear | Conv4
    learner: (
        Maml
        | Anil
        | MetaSgd
        | Reptile
        | MamlPlusPlus
        | Cavia
        | Imaml
        | MetaLstm
        | LearnedOptimizer
        | Prototypical
    )
    outer: Outer = Outer()
    test_episodes: int = 600
    """episodes of the meta-test"""
    curve_episodes: int = 200
    """episodes of each point of the adaptation curves"""


def from_dict(default: Any, values: dict) -> Any:
    """Sets the fields of a config, nested ones too, from a dict such as JSON gives.

    Raises:
      ValueError: a field that the config lacks.
    """
    fields = {field.name for field in dataclasses.fields(default)}
    unknown = sorted(set(values) - fields)
    if unknown:
        raise ValueError(
            f"unknown field {unknown[0]!r}; the fields are {', '.join(sorted(fields))}."
        )
    new = {}
    for name, value in values.items():
        current = getattr(default, name)
        if dataclasses.is_dataclass(current):
            value = from_dict(current, value)
        elif isinstance(current, tuple):
            value = tuple(value)
        new[name] = value
    return dataclasses.replace(default, **new)
