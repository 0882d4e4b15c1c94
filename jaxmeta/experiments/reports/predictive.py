"""How good predicted distributions are."""

from functools import partial
from typing import Any

import jax.numpy as jnp

from jaxmeta.experiments.parts import Work
from jaxmeta.experiments.reports.episodes import summary
from jaxmeta.learner import Learner
from jaxmeta.learners.hyper import Gaussian, context_mean, log_density
from jaxmeta.training import evaluate


def predictive_results(work: Work, with_sigma: Learner) -> dict[str, Any]:
    """The support set's mean as a floor; log density in nats, and the share inside 95%.

    Args:
      work: the meta-test.
      with_sigma: predicts mean and standard deviation side by side, `[M, 2]`.
    """
    metrics = {
        "log_density": lambda outputs, query: jnp.mean(
            log_density(Gaussian(*jnp.split(outputs, 2, axis=1)), query.y)
        ),
        "coverage_of_95_percent": lambda outputs, query: jnp.mean(
            jnp.abs(query.y - outputs[:, :1]) < 1.96 * outputs[:, 1:]
        ),
    }
    sample = next(iter(work.experiment.meta_test.values()))
    score = partial(evaluate, sample=sample, n_episodes=work.n_episodes, key=work.key)
    floor = score(context_mean(), {}, metric=work.experiment.metric)
    return {
        "context_mean": summary(floor),
        "predictive": {
            name: summary(score(with_sigma, work.params, metric=metric))
            for name, metric in metrics.items()
        },
    }
