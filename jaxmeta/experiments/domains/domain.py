"""What holds of a domain that says nothing else."""

from collections.abc import Callable
from typing import Any

from jaxmeta.experiments.parts import Work
from jaxmeta.experiments.reports.episodes import episode_results
from jaxmeta.training import few_shot


class Domain:
    """Defaults of the protocol `jaxmeta.experiments.parts.Domain`, for tasks with two sets.

    A class that inherits from it adds `metric`, `n_outputs`, `loss_fn`, `score` and `samples`.
    """

    acts = False
    has_images = False
    has_shots = False
    has_paths = False
    scored_by: Callable = staticmethod(few_shot)

    def results(self, work: Work) -> dict[str, Any]:
        """The learner, fresh parameters, and the adaptation."""
        return episode_results(work)

    def trace(self, work: Work) -> dict[str, Any] | None:
        """None: the examples of a task come together."""
        return None
