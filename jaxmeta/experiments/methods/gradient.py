"""The learner's part of a recipe: one frozen dataclass per method."""

import dataclasses
from typing import Literal

import optax

import jaxmeta.learners.gradient as gradient
from jaxmeta import losses
from jaxmeta.inner import rules
from jaxmeta.learner import Learner
from jaxmeta.net import NetLike

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

    def build(self, net: NetLike, loss_fn: losses.LossFn, inner_steps: int) -> Learner:
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

    def build(self, net: NetLike, loss_fn: losses.LossFn, inner_steps: int) -> Learner:
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

    def build(self, net: NetLike, loss_fn: losses.LossFn, inner_steps: int) -> Learner:
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

    def build(self, net: NetLike, loss_fn: losses.LossFn, inner_steps: int) -> Learner:
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
    input_bias: tuple[float, float] = (-5.0, -4.0)
    """where the bias of the input gate starts; its sigmoid is about the inner rate"""
    inner_steps: int = 12
    """updates in training"""
    test_inner_steps: int = 12
    """updates at test"""

    def build(self, net: NetLike, loss_fn: losses.LossFn, inner_steps: int) -> Learner:
        """The learner with that many updates."""
        return gradient.meta_lstm(
            net,
            hidden=self.hidden,
            input_bias=self.input_bias,
            inner_steps=inner_steps,
            loss_fn=loss_fn,
        )


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

    def build(self, net: NetLike, loss_fn: losses.LossFn, inner_steps: int) -> Learner:
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
