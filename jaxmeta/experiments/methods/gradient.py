"""The learner's part of a recipe: one frozen dataclass per method."""

import dataclasses
from typing import Any, Literal

import optax

import jaxmeta.learners.gradient as gradient
from jaxmeta import losses
from jaxmeta.experiments.methods.method import Method
from jaxmeta.experiments.parts import Built
from jaxmeta.inner import rules
from jaxmeta.learner import Learner
from jaxmeta.net import NetLike

Derivative = Literal["reverse", "forward_over_reverse", "first_order"]
# The learners' own default is "reverse", which forward mode can go through too. A training needs no
# forward mode, and for one inner step this takes less memory (docs/performance.md).
_SECOND_ORDER: Derivative = "forward_over_reverse"


class _InnerLoop(Method):
    """A learner with an inner loop: `build(net, loss_fn, inner_steps)`, in training and at test."""

    family = "gradient"
    least_inner_steps = 0
    build: Any
    inner_steps: int
    test_inner_steps: int

    def assemble(self, net: Any, domain: Any) -> Built:
        """The learner on a net and a domain, with other counts of inner steps at test."""
        module, loss_fn = net.build(domain.n_outputs), domain.loss_fn

        def after(inner_steps):
            return self.build(module, loss_fn, inner_steps)

        learner, last = self.build(module, loss_fn, self.inner_steps), self.test_inner_steps
        return Built(learner, after(last), after, range(self.least_inner_steps, last + 1))


class _PlainWeights(_InnerLoop):
    """One that adapts the plain weights of a net by gradient steps."""

    inner_lr: float

    @property
    def analysed_lr(self) -> float:
        """The inner rate."""
        return self.inner_lr


@dataclasses.dataclass(frozen=True)
class Maml(_PlainWeights):
    """MAML; FOMAML with `derivative="first_order"`."""

    inner_lr: float = 0.01
    """Step size of the inner loop."""
    inner_steps: int = 5
    """Gradient steps on the support set in training."""
    test_inner_steps: int = 10
    """Gradient steps on the support set at test."""
    derivative: Derivative = _SECOND_ORDER
    """How the meta-gradient is computed: second order in one of two ways, or first order."""
    transductive: bool = False
    """The query set is normalised by its own batch statistics in training."""

    @property
    def is_second_order(self) -> bool:
        """Whether the loss has a Hessian: the meta-gradient is its derivative."""
        return self.derivative != "first_order"

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

    inner_steps: int = 1
    """Gradient steps on the support set in training."""
    test_inner_steps: int = 1
    """Gradient steps on the support set at test."""

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
class Reptile(_PlainWeights):
    """Reptile, with Adam without momentum in the inner loop."""

    inner_lr: float = 1e-3
    """Step size of the inner Adam."""
    inner_steps: int = 5
    """Steps on a task in training."""
    test_inner_steps: int = 50
    """Steps on a task at test."""
    inner_batch: int | None = 10
    """Support rows of an inner step in training. None: all rows."""
    test_inner_batch: int | None = 5
    """Support rows of an inner step at test. None: all rows."""

    def assemble(self, net: Any, domain: Any) -> Built:
        """The learner, with another size of minibatches at test."""
        module, loss_fn, last = net.build(domain.n_outputs), domain.loss_fn, self.test_inner_steps

        def after(inner_steps):
            return self.build(module, loss_fn, inner_steps, self.test_inner_batch)

        learner = self.build(module, loss_fn, self.inner_steps, self.inner_batch)
        return Built(learner, after(last), after, range(last + 1))

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
class MamlPlusPlus(_InnerLoop):
    """MAML++; as many inner steps at test as in training."""

    inner_lr: float = 0.1
    """Where every learned inner rate starts."""
    inner_steps: int = 5
    """Gradient steps on the support set in training."""
    test_inner_steps: int = 5
    """Gradient steps on the support set at test: as many as in training."""
    annealing_steps: int = 5000
    """Meta-steps until only the loss after the last inner step counts."""
    derivative: Derivative = _SECOND_ORDER
    """How the meta-gradient is computed: second order in one of two ways, or first order."""

    least_inner_steps = 1

    def assemble(self, net: Any, domain: Any) -> Built:
        """The learner, whose outer optimiser counts the steps until the annealing ends."""
        built = super().assemble(net, domain)
        return built._replace(optimiser=lambda outer: gradient.counting_steps(outer.build()))

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
class Cavia(_InnerLoop):
    """CAVIA."""

    context_size: int = 5
    """Numbers in the context."""
    inner_lr: float = 1.0
    """Step size of the inner loop."""
    inner_steps: int = 1
    """Gradient steps on the support set in training."""
    test_inner_steps: int = 1
    """Gradient steps on the support set at test."""
    derivative: Derivative = _SECOND_ORDER
    """How the meta-gradient is computed: second order in one of two ways, or first order."""

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
class Imaml(_PlainWeights):
    """iMAML."""

    inner_lr: float = 0.1
    """Step size of the inner solver."""
    inner_steps: int = 16
    """Steps of the inner solver in training."""
    test_inner_steps: int = 16
    """Steps of the inner solver at test."""
    lam: float = 2.0
    """Strength of the pull towards the initialisation."""
    cg_steps: int = 5
    """Steps of the conjugate gradients."""
    damping: float = 0.0
    """Number that is added to the diagonal of the linear system."""

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
class MetaLstm(_InnerLoop):
    """The LSTM meta-learner."""

    hidden: int = 20
    """Units of the LSTM under the gates."""
    input_bias: tuple[float, float] = (-5.0, -4.0)
    """Range in which the bias of the input gate starts. Its sigmoid is about the inner rate."""
    inner_steps: int = 12
    """Updates of the weights in training."""
    test_inner_steps: int = 12
    """Updates of the weights at test."""

    @property
    def analysed_lr(self) -> float:
        """About the sigmoid of where the input gate starts."""
        return 0.01

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
class LearnedOptimizer(_InnerLoop):
    """The learned optimiser, on gradients as they are."""

    hidden: int = 20
    """Units of each LSTM."""
    layers: int = 2
    """Number of LSTMs on top of each other."""
    scale: float = 0.01
    """Factor of the optimiser's output."""
    unroll: int = 20
    """Steps of a window of truncated backpropagation."""
    inner_steps: int = 100
    """Updates of the weights in training."""
    test_inner_steps: int = 100
    """Updates of the weights at test."""

    least_inner_steps = 1

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
