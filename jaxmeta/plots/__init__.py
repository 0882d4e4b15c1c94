"""Pictures of runs: curves, episodes, memories, generated weights, analyses."""

from jaxmeta.plots._analysis import (
    METHOD_NAMES,
    coefficients,
    differences,
    draw_analysis,
    estimators,
    residuals,
    similarities,
    spectra,
)
from jaxmeta.plots._attention import draw_attention
from jaxmeta.plots._contact_sheet import SheetRow, draw_contact_sheet
from jaxmeta.plots._episode import confusion, draw_episode, predictions, projection
from jaxmeta.plots._grid import draw_grid, validation_over_seeds
from jaxmeta.plots._memory import draw_memory
from jaxmeta.plots._one_pass import attention_map, draw_look, predictive_band, weight_statistics
from jaxmeta.plots._returns import draw_paths, episode_returns, regret_curves
from jaxmeta.plots._runs import (
    adaptation_curves,
    draw_runs,
    floors,
    headline,
    learning_curves,
    loss_curve,
    meta_test_results,
    presentation_curves,
)

__all__ = [
    "METHOD_NAMES",
    "SheetRow",
    "adaptation_curves",
    "attention_map",
    "coefficients",
    "confusion",
    "differences",
    "draw_analysis",
    "draw_attention",
    "draw_contact_sheet",
    "draw_episode",
    "draw_grid",
    "draw_look",
    "draw_memory",
    "draw_paths",
    "draw_runs",
    "episode_returns",
    "estimators",
    "floors",
    "headline",
    "learning_curves",
    "loss_curve",
    "meta_test_results",
    "predictions",
    "predictive_band",
    "presentation_curves",
    "projection",
    "regret_curves",
    "residuals",
    "similarities",
    "spectra",
    "validation_over_seeds",
    "weight_statistics",
]
