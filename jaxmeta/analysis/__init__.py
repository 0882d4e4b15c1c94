"""Second-order gradients, measured: expansions, curvature, bias and cost of meta-gradients."""

from jaxmeta.analysis._check import GradientCheck, check_meta_gradient
from jaxmeta.analysis._curvature import (
    Spectrum,
    hessian_spectrum,
    hessian_vector_product,
    lanczos,
)
from jaxmeta.analysis._estimators import ESTIMATORS, EstimatorCosts, estimator_costs
from jaxmeta.analysis._expansion import (
    METHODS,
    Expansion,
    MetaGradients,
    avg_grad_and_inner,
    cosine,
    expansion,
    meta_gradients,
    similarities,
    theory,
)

__all__ = [
    "ESTIMATORS",
    "METHODS",
    "EstimatorCosts",
    "Expansion",
    "GradientCheck",
    "MetaGradients",
    "Spectrum",
    "avg_grad_and_inner",
    "check_meta_gradient",
    "cosine",
    "estimator_costs",
    "expansion",
    "hessian_spectrum",
    "hessian_vector_product",
    "lanczos",
    "meta_gradients",
    "similarities",
    "theory",
]
