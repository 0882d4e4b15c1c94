"""What holds of a method that says nothing else."""

from typing import Any, ClassVar

from jaxmeta.learner import Learner


class Method:
    """Defaults of the protocol `jaxmeta.experiments.parts.Method`."""

    family = "own"  # under which `jaxmeta recipes` lists it
    acts = False
    any_way = False
    one_pass = False
    traced_fields: ClassVar[tuple[str, ...]] = ()  # floats that may be values of a trace
    # `(net, params, trajectory) -> [layers, heads, T, T]`: how much the action at a step of a trial
    # looked at a step; None of what does not look back.
    look_back: Any = None

    @property
    def is_second_order(self) -> bool:
        """Whether the loss has a Hessian: the meta-gradient is its derivative."""
        return False

    @property
    def analysed_lr(self) -> float | None:
        """The inner rate of a learner that adapts the plain weights of a net; None of others."""
        return None

    def tested_after(self, inner_steps: int) -> Any:
        """The same with that many inner steps at test, where there is an inner loop."""
        raise ValueError(
            f"inner_steps is of learners of episodes with an inner loop, and {type(self).__name__} "
            f"is none, got {inner_steps}."
        )

    def measured(self, metric: Any) -> str:
        """What the number of an episode is, in words."""
        return metric.name

    def extra_results(self, work: Any) -> dict[str, Any]:
        """Results of the meta-test beside those of the domain."""
        return {}

    def embedder(self, net: Any) -> Any:
        """The embedding by which rows are compared; None where none are."""
        return None

    def parts(self) -> dict[str, Any] | None:
        """Controller and memory whose reads and writes can be seen; None without."""
        return None

    def look(self, net: Any, learner: Learner) -> Learner:
        """The learner whose `adapt` keeps what there is to draw."""
        return learner

    def curve(self, net: Any, learner: Learner) -> Learner:
        """The learner whose `predict` gives mean and, where there is one, standard deviation."""
        return learner

    def weights(self, adapted: Any) -> dict[str, Any]:
        """The weights that are generated, by name."""
        return {}

    def attention(self, adapted: Any) -> dict[str, Any]:
        """Attention maps by the layer that is generated, each the mean of the heads."""
        return {}
