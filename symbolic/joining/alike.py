"""Whether two expressions are the same but for the order of what may stand in any order."""

from __future__ import annotations

from typing import Final

from symbolic.canonical import to_json
from symbolic.expression import (
    Arithmetic,
    Choose,
    Compare,
    Compute,
    Expr,
    Join,
    Junction,
    Not,
    Order,
    Same,
)

MIRRORED: Final = {Order.GT: Order.LT, Order.GE: Order.LE}


def are_alike(left: Expr, right: Expr) -> bool:
    """True where two expressions differ at most in the order of what may stand in any order."""
    return to_json(_sorted(left)) == to_json(_sorted(right))


def _sorted(expr: Expr) -> Expr:
    """The expression with the operands of commutative operations in one order, and `>` written as `<`."""
    match expr:
        case Compute(Arithmetic.ABSOLUTE, (Compute(Arithmetic.SUBTRACT, args),)):  # |x - y| is |y - x|
            return Compute(Arithmetic.ABSOLUTE, (Compute(Arithmetic.SUBTRACT, _ordered(args)),))
        case Compute(op, args) if op in _COMMUTATIVE:
            return Compute(op, _ordered(args))
        case Compute(op, args):
            return Compute(op, tuple(map(_sorted, args)))
        case Choose():
            return Choose(_sorted(expr.condition), _sorted(expr.then), _sorted(expr.otherwise))
        case Compare(op, left, right) if op in MIRRORED:
            return Compare(MIRRORED[op], _sorted(right), _sorted(left))
        case Compare(op, left, right) if op in (Order.EQ, Order.NE):
            return Compare(op, *_ordered((left, right)))
        case Compare():
            return Compare(expr.op, _sorted(expr.left), _sorted(expr.right))
        case Same(left, right):
            return Same(*sorted((left, right), key=to_json))
        case Not():
            return Not(_sorted(expr.arg))
        case Join(Junction.IMPLIES, args):
            return Join(Junction.IMPLIES, tuple(map(_sorted, args)))
        case Join():
            return Join(expr.op, _ordered(expr.args))
        case _:
            return expr


_COMMUTATIVE: Final = {Arithmetic.ADD, Arithmetic.MULTIPLY, Arithmetic.MINIMUM, Arithmetic.MAXIMUM}


def _ordered(args: tuple[Expr, ...]) -> tuple[Expr, ...]:
    return tuple(sorted(map(_sorted, args), key=to_json))
