"""Margins: by how much a condition holds, and which comparison that amount is of. The executable specification.

The quantitative semantics of signal temporal logic (Fainekos & Pappas 2009; Donze & Maler 2010), without time, over the
plain tree. On exact facts every condition has a degree: a number, or infinity.

    l < r, l <= r       r - l                  l > r, l >= r      l - r
    l == r              -|l - r|               l != r             |l - r|
    flag, choice, constant, or a comparison that reads no field: +infinity where it holds, -infinity where not
    not a               -degree(a)             a or b             the greater degree
    a and b             the lesser degree      a implies b        degree(not a or b)
    a iff b             degree((a and b) or (not a and not b))

So a condition with a degree above 0 holds, below 0 does not, and at 0 it is at the edge, where either is possible. No
change of both sides of every comparison by less than the degree, in sum, makes a condition that holds fail; that is
what the amount says. It is in the unit of the comparison's sides as they are written. Degrees of comparisons in
different units are compared as plain numbers, which is why a margin names the comparison that it is of: the first, in
the order of the tree, of those with that degree. Where the degree is infinite no number decides: there is no margin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple

from symbolic.expression import Compare, Expr, Join, Junction, Not, Order, reads
from symbolic.facts import Facts
from symbolic.field import shortest
from symbolic.reading.reference import YES, Walk
from symbolic.reading.residual import NEGATED


@dataclass(frozen=True, slots=True)
class Margin:
    """By how much a condition holds."""

    amount: Fraction
    """0 or more; 0 at the edge."""
    comparison: str
    """The comparison that decides, as people read it, such as `gap_m < 15`; the amount is in the unit of its sides."""

    @property
    def text(self) -> str:
        """`gap_m < 15 by 2.5`."""
        return f"{self.comparison} by {shortest(self.amount)}"


class Degree(NamedTuple):
    """The degree of a condition, and the comparison that it is of, turned round under a negation."""

    value: Fraction | float
    """A fraction, or plus or minus infinity."""
    comparison: Compare | None
    """None where the value is infinite."""


SURE: Final = Degree(math.inf, None)


def degree(expr: Expr, facts: Facts, action: tuple[int, ...]) -> Degree:
    """The degree of a condition on exact facts, under the action with these codes."""
    return _degree(expr, Walk(facts, action))


def _degree(expr: Expr, here: Walk) -> Degree:
    match expr:
        case Compare() if reads(expr):
            return Degree(_difference(expr, here), expr)
        case Not():
            return _opposite(_degree(expr.arg, here))
        case Join():
            return _joined(expr.op, [_degree(arg, here) for arg in expr.args])
        case _:
            return SURE if here.truth(expr) is YES else _opposite(SURE)


def _difference(expr: Compare, here: Walk) -> Fraction:
    left, right = here.number(expr.left).low, here.number(expr.right).low
    match expr.op:
        case Order.LT | Order.LE:
            return right - left
        case Order.GT | Order.GE:
            return left - right
        case Order.EQ:
            return -abs(left - right)
        case Order.NE:
            return abs(left - right)


def _opposite(found: Degree) -> Degree:
    turned = found.comparison and Compare(NEGATED[found.comparison.op], found.comparison.left, found.comparison.right)
    return Degree(-found.value, turned)


def _joined(op: Junction, parts: list[Degree]) -> Degree:
    match op:
        case Junction.AND:
            return min(parts, key=_value)
        case Junction.OR:
            return max(parts, key=_value)
        case Junction.IMPLIES:
            return max([_opposite(parts[0]), parts[1]], key=_value)
        case Junction.IFF:
            both, neither = min(parts, key=_value), min(map(_opposite, parts), key=_value)
            return max([both, neither], key=_value)


def _value(found: Degree) -> Fraction | float:
    return found.value
