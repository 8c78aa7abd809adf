"""The plain tree of a declared one: what every reading but text, JSON and sentence sees."""

from __future__ import annotations

from symbolic.expression import Expr, children, rebuilt


def unrolled(expr: Expr) -> Expr:
    """The expression with every node that is more than the plain tree written out in plain nodes."""
    parts = children(expr)
    return rebuilt(expr, tuple(map(unrolled, parts))) if parts else expr
