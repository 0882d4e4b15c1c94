"""The inner loop and its update rules."""

from jaxmeta.inner import rules
from jaxmeta.inner.implicit import proximal_solution
from jaxmeta.inner.loop import check_inner_loop, inner_loop
from jaxmeta.inner.rules import UpdateRule

__all__ = ["UpdateRule", "check_inner_loop", "inner_loop", "proximal_solution", "rules"]
