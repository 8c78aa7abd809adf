"""What is left of a condition once the action is known: constants folded, negations pushed to the atoms."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from symbolic.expression import (
    Arithmetic,
    Choose,
    Compare,
    Compute,
    Constant,
    Expr,
    Join,
    Junction,
    Member,
    Not,
    Number,
    Order,
    Owner,
    Past,
    Quantified,
    Quantifier,
    Read,
    Remaining,
    Same,
)
from symbolic.reading.reference import NO, YES, Range, compute, everything

MIRRORED: Final = {
    Order.LT: Order.GT,
    Order.LE: Order.GE,
    Order.GT: Order.LT,
    Order.GE: Order.LE,
    Order.EQ: Order.EQ,
    Order.NE: Order.NE,
}
"""`a < b` is `b > a`."""

NEGATED: Final = {
    Order.LT: Order.GE,
    Order.LE: Order.GT,
    Order.GT: Order.LE,
    Order.GE: Order.LT,
    Order.EQ: Order.NE,
    Order.NE: Order.EQ,
}
"""`not a < b` is `a >= b`."""

Codes = tuple[int, ...]


def residual(expr: Expr, action: Codes | None, *, is_negated: bool = False) -> Expr:
    """The condition (or its opposite) over the state alone, in negation normal form.

    Atoms are boolean fields, their negations, `Member`, `Same`, its negation and `Compare`. A condition that
    the declared ranges decide becomes a `Constant`. Without an action its fields stay.
    """
    match expr:
        case Constant():
            return Constant(expr.value is not is_negated)
        case Read():
            if expr.owner is Owner.ACTION and action is not None:
                return Constant((action[expr.field.index] == 1) is not is_negated)
            return Not(expr) if is_negated else expr
        case Member():
            return _member(expr.read, set(expr.codes), action, is_negated)
        case Same():
            return _same(expr, action, is_negated)
        case Compare():
            op = NEGATED[expr.op] if is_negated else expr.op
            return _compare(op, number(expr.left, action), number(expr.right, action))
        case Not():
            return residual(expr.arg, action, is_negated=not is_negated)
        case Join():
            return _join(expr, action, is_negated)
        case Quantified(Quantifier.ALL | Quantifier.ANY, over, name, body):
            quantifier = Quantifier.ALL if (expr.op is Quantifier.ALL) is not is_negated else Quantifier.ANY
            left = residual(body, action, is_negated=is_negated)
            is_sure = left == Constant(quantifier is Quantifier.ALL)
            return left if is_sure else Quantified(quantifier, over, name, left)
        case Past():  # only where a tree is made for people: it says nothing of the action
            return Not(expr) if is_negated else expr
        case _:
            raise TypeError(f"expected a condition, got {type(expr).__name__}; compare it with a value")


def _member(read: Read, codes: set[int], action: Codes | None, is_negated: bool) -> Expr:
    every = set(range(read.field.high + 1))
    allowed = every - codes if is_negated else codes
    if read.owner is Owner.ACTION and action is not None:
        return Constant(action[read.field.index] in allowed)
    if not allowed or allowed == every:
        return Constant(bool(allowed))
    return Member(read, tuple(sorted(allowed)))


def _same(expr: Same, action: Codes | None, is_negated: bool) -> Expr:
    if expr.left == expr.right:
        return Constant(not is_negated)
    if action is not None:
        for known, other in ((expr.left, expr.right), (expr.right, expr.left)):
            if known.owner is Owner.ACTION:
                word = known.field.words[action[known.field.index]]
                codes = {other.field.words.index(word)} if word in other.field.words else set()
                return _member(other, codes, action, is_negated)
    return Not(expr) if is_negated else expr


def _join(expr: Join, action: Codes | None, is_negated: bool) -> Expr:
    args = expr.args
    match expr.op:
        case Junction.AND | Junction.OR:
            parts = [residual(arg, action, is_negated=is_negated) for arg in args]
            return junction(expr.op if not is_negated else _DUAL[expr.op], parts)
        case Junction.IMPLIES:
            parts = [
                residual(args[0], action, is_negated=not is_negated),
                residual(args[1], action, is_negated=is_negated),
            ]
            return junction(Junction.AND if is_negated else Junction.OR, parts)
        case Junction.IFF:
            yes = [residual(arg, action) for arg in args]
            no = [residual(arg, action, is_negated=True) for arg in args]
            pairs = ((yes[0], no[1]), (no[0], yes[1])) if is_negated else ((yes[0], yes[1]), (no[0], no[1]))
            return junction(Junction.OR, [junction(Junction.AND, list(pair)) for pair in pairs])


_DUAL: Final = {Junction.AND: Junction.OR, Junction.OR: Junction.AND}


def junction(op: Junction, parts: list[Expr]) -> Expr:
    """And/or of parts, flattened, without repeats and constants."""
    absorbing = Constant(op is Junction.OR)
    flat: dict[Expr, None] = {}
    for part in parts:
        if part == absorbing:
            return absorbing
        if not isinstance(part, Constant):
            flat.update(dict.fromkeys(part.args if isinstance(part, Join) and part.op is op else (part,)))
    if not flat:
        return Constant(op is Junction.AND)
    return next(iter(flat)) if len(flat) == 1 else Join(op, tuple(flat))


def _compare(op: Order, left: Expr, right: Expr) -> Expr:
    op, left, right = _move_constants(op, left, right)
    atom = Compare(op, left, right)
    found = everything(atom)
    return Constant(True) if found is YES else Constant(False) if found is NO else atom


def _move_constants(op: Order, left: Expr, right: Expr) -> tuple[Order, Expr, Expr]:
    """Bring `x + 2 < 5`, `2 - x > 1`, `3 * x >= 6` to the form `x < 3`, with the constant on the right."""
    if isinstance(left, Number):
        op, left, right = MIRRORED[op], right, left
    while isinstance(right, Number) and isinstance(left, Compute):
        match left:
            case Compute(Arithmetic.ADD, (*rest, Number(value))):
                left, right = _add(rest), Number(right.value - value)
            case Compute(Arithmetic.SUBTRACT, (part, Number(value))):
                left, right = part, Number(right.value + value)
            case Compute(Arithmetic.SUBTRACT, (Number(value), part)):
                op, left, right = MIRRORED[op], part, Number(value - right.value)
            case Compute(Arithmetic.NEGATE, (part,)):
                op, left, right = MIRRORED[op], part, Number(-right.value)
            case Compute(Arithmetic.MULTIPLY, (Number(value), part)):
                op, left, right = op if value > 0 else MIRRORED[op], part, Number(right.value / value)
            case _:
                break
    return op, left, right


def number(expr: Expr, action: Codes | None) -> Expr:
    """A number with the action's fields replaced and constants folded: last in a sum, first in a product."""
    match expr:
        case Number() | Remaining():
            return expr
        case Read():
            if expr.owner is Owner.ACTION and action is not None:
                return Number(action[expr.field.index] * expr.field.step)
            return expr
        case Choose():
            condition = residual(expr.condition, action)
            if isinstance(condition, Constant):
                return number(expr.then if condition.value else expr.otherwise, action)
            return Choose(condition, number(expr.then, action), number(expr.otherwise, action))
        case Quantified(Quantifier.COUNT, over, name, body):
            return Quantified(Quantifier.COUNT, over, name, residual(body, action))
        case Compute():
            return _fold(expr.op, [number(arg, action) for arg in expr.args])
        case _:
            raise TypeError(f"expected a number, got {type(expr).__name__}; compare numbers with numbers")


def _fold(op: Arithmetic, parts: list[Expr]) -> Expr:
    known = [part.value for part in parts if isinstance(part, Number)]
    if len(known) == len(parts):
        return Number(compute(op, [Range(value, value) for value in known]).low)
    match op:
        case Arithmetic.ADD:
            return _add(parts)
        case Arithmetic.SUBTRACT if isinstance(parts[1], Number):
            return _add([parts[0], Number(-parts[1].value)])
        case Arithmetic.MULTIPLY if known:
            return _scale(known[0], parts[1] if isinstance(parts[0], Number) else parts[0])
        case Arithmetic.MINIMUM | Arithmetic.MAXIMUM if len(known) > 1:
            rest = [part for part in parts if not isinstance(part, Number)]
            return Compute(op, (*rest, Number(min(known) if op is Arithmetic.MINIMUM else max(known))))
        case _:
            return Compute(op, tuple(parts))


def _add(parts: list[Expr]) -> Expr:
    flat = [item for part in parts for item in (part.args if _is_sum(part) else (part,))]  # type: ignore[union-attr]
    rest = [item for item in flat if not isinstance(item, Number)]
    total = sum((item.value for item in flat if isinstance(item, Number)), Fraction())
    terms = [*rest, Number(total)] if total else rest
    if not terms:
        return Number(total)
    return terms[0] if len(terms) == 1 else Compute(Arithmetic.ADD, tuple(terms))


def _is_sum(expr: Expr) -> bool:
    return isinstance(expr, Compute) and expr.op is Arithmetic.ADD


def _scale(factor: Fraction, part: Expr) -> Expr:
    if factor == 0:
        return Number(Fraction())
    if factor == 1:
        return part
    match part:
        case Compute(Arithmetic.MULTIPLY, (Number(value), inner)):
            return _scale(factor * value, inner)
        case _:
            return Compute(Arithmetic.MULTIPLY, (Number(factor), part))
