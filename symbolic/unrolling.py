"""The plain tree of a declared one: what every reading but JSON, text and sentence sees.

A quantifier is written out over the slots of its neighbours, each guarded by the flag that somebody is there:

    all_of     (present 1 implies ...) and (present 2 implies ...)
    any_of     (present 1 and ...) or (present 2 and ...)
    count_of   (1 if present 1 and ... else 0) + (1 if present 2 and ... else 0)
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Final

from symbolic.expression import (
    MAX_NODES,
    Arithmetic,
    Choose,
    Compute,
    Expr,
    ExpressionError,
    Join,
    Junction,
    Number,
    Owner,
    Quantified,
    Quantifier,
    Read,
    children,
    rebuilt,
)
from symbolic.neighbours import Slot

MAX_UNROLLED: Final = 4 * MAX_NODES
"""Most nodes of the plain tree of one rule."""

Bound = Mapping[str, Slot]
"""The slots that quantifiers stand at, by the names that they gave to their neighbours."""


def unrolled(expr: Expr, at: Bound | None = None) -> Expr:
    """The expression with every node that is more than the plain tree written out in plain nodes.

    Raises:
        ExpressionError: the field of a neighbour outside the quantifier that names it.
    """
    at = at or {}
    match expr:
        case Read() if expr.of:
            if expr.of not in at:
                raise ExpressionError(
                    f"expected `{expr.of}.{expr.field.name}` inside the quantifier that names `{expr.of}`, got it "
                    "outside; move the condition in"
                )
            return Read(expr.owner, at[expr.of].fields[expr.field.index])
        case Quantified():
            return _written_out(expr, at)
        case _:
            parts = children(expr)
            return rebuilt(expr, [unrolled(part, at) for part in parts]) if parts else expr


def _written_out(expr: Quantified, at: Bound) -> Expr:
    there = [Read(Owner.STATE, slot.present) for slot in expr.over.slots]
    bodies = [unrolled(expr.body, {**at, expr.name: slot}) for slot in expr.over.slots]
    pairs = list(zip(there, bodies, strict=True))
    match expr.op:
        case Quantifier.ALL:
            parts: list[Expr] = [Join(Junction.IMPLIES, pair) for pair in pairs]
            return parts[0] if len(parts) == 1 else Join(Junction.AND, tuple(parts))
        case Quantifier.ANY:
            parts = [Join(Junction.AND, pair) for pair in pairs]
            return parts[0] if len(parts) == 1 else Join(Junction.OR, tuple(parts))
        case Quantifier.COUNT:
            one, none = Number(Fraction(1)), Number(Fraction())
            parts = [Choose(Join(Junction.AND, pair), one, none) for pair in pairs]
            return parts[0] if len(parts) == 1 else Compute(Arithmetic.ADD, tuple(parts))


def demand_unrollable(expr: Expr) -> None:
    """Refuse a tree whose plain tree would have more than `MAX_UNROLLED` nodes, before it is made."""
    if _size(expr) > MAX_UNROLLED:
        raise ExpressionError(
            f"expected at most {MAX_UNROLLED} nodes once quantifiers are written out over all neighbours, got more; "
            "split the rule or lower at_most"
        )


def _size(expr: Expr) -> int:
    parts = sum(map(_size, children(expr)))
    if not isinstance(expr, Quantified):
        return 1 + parts
    around = 5 if expr.op is Quantifier.COUNT else 2
    return 1 + len(expr.over.slots) * (parts + around)
