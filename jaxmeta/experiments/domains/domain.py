"""What holds of a domain that says nothing else."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from jaxmeta.experiments.parts import Samples, Split, Work
from jaxmeta.experiments.reports.episodes import episode_results
from jaxmeta.training import few_shot


class Domain:
    """Defaults of the protocol `jaxmeta.experiments.parts.Domain`, for tasks with two sets.

    A class that inherits from it adds `metric`, `n_outputs`, `loss_fn`, `score` and `samples`.
    """

    acts = False
    has_images = False
    training_fields: ClassVar[tuple[str, ...]] = ()
    has_paths = False
    samples: Callable[[], Samples]
    scored_by: Callable = staticmethod(few_shot)

    @property
    def protocol_fields(self) -> Mapping[str, tuple[str, ...]]:
        """What a test may ask for, and the fields that say so."""
        return {"transductive": ()}

    def tested_on(self, split: Split) -> Samples:
        """The tasks, those of the test being of another split."""
        if split != "meta_test":
            raise ValueError(
                f"split must be meta_test, the one that {type(self).__name__} is tested on, got "
                f"{split}: another one needs a method `tested_on(split)`."
            )
        return self.samples()

    def results(self, work: Work) -> dict[str, Any]:
        """The learner, fresh parameters, and the adaptation."""
        return episode_results(work)

    def trace(self, work: Work) -> dict[str, Any] | None:
        """None: the examples of a task come together."""
        return None
