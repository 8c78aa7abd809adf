"""Expressions read back from canonical JSON, every node checked as if it had been written by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Final, TypeAlias, cast

from symbolic.domain import Action, State
from symbolic.expression import (
    MAX_DEPTH,
    MOST_DIGITS,
    Arithmetic,
    Choose,
    Compare,
    Compute,
    Constant,
    Expr,
    ExpressionError,
    Join,
    Junction,
    Not,
    Number,
    Order,
    Quantifier,
    Read,
    is_number,
    is_truth,
)
from symbolic.field import Kind
from symbolic.neighbours import Neighbours
from symbolic.quantifiers import bound, quantified
from symbolic.remembering.terms import past, remaining
from symbolic.terms import ChoiceTerm, fields, same

MOST_TEXT: Final = 2 * MOST_DIGITS + 2
"""Characters of a fraction."""

PLAIN: Final = re.compile(r"-?[0-9]+(/[0-9]+)?")

Json: TypeAlias = "list[Json] | str | bool"


def from_json(text: str, state: type[State], action: type[Action]) -> Expr:
    """Read canonical JSON back against the types that it speaks of; anything else is an `ExpressionError`."""
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError):
        raise ExpressionError("expected an expression as JSON, got other text; give the text of to_json") from None
    return from_plain(plain, state, action)


Named: TypeAlias = Mapping[str, Neighbours]
"""The collections of the neighbours that quantifiers above have named."""


def from_plain(
    plain: object,
    state: type[State],
    action: type[Action],
    depth: int = MAX_DEPTH,
    named: Named = MappingProxyType({}),
) -> Expr:
    """Read nested lists back; every node is checked as if it had been written by hand."""

    def read(part: object) -> Expr:
        return from_plain(part, state, action, depth - 1, named)

    if depth <= 0:
        raise ExpressionError(f"expected at most {MAX_DEPTH} levels, got a deeper expression; split the rule")
    match plain:
        case ["number", str(text)]:
            return Number(_fraction(text))
        case ["constant", bool(value)]:
            return Constant(value)
        case ["read", "state" | "action" as owner, str(name)]:
            return cast(Read, (fields(state) if owner == "state" else fields(action))[name].expr)
        case ["read", str(one), str(name)] if one in named:
            return cast(Read, bound(named[one], one)[name].expr)
        case ["all" | "any" | "count" as op, str(name), str(one), body]:
            over = state.__domain__.neighbours.get(name)
            if over is None:
                raise ExpressionError(f"expected neighbours of `{state.__name__}`, got `{name:.60}`; correct the name")
            return quantified(
                Quantifier(op), over, one, from_plain(body, state, action, depth - 1, {**named, one: over})
            )
        case ["member", choice, *words]:
            return _choice(read(choice)).isin(*cast(list[str], words)).expr
        case ["same", left, right]:
            return same(*(_choice(read(part)).expr for part in (left, right)))
        case ["past", str(name), None | str() as window, *parts]:
            span = None if window is None else _fraction(window)
            return past(name, [read(part) for part in parts], span)
        case ["remaining", str(window), str(step), trigger, done]:
            return remaining(read(trigger), read(done), _fraction(window), _fraction(step))
        case [str(name), *parts] if parts:
            return _build(name, tuple(map(read, parts)))
        case _:
            raise ExpressionError(f"expected a node of an expression, got `{plain!r:.60}`; give the text of to_json")


def _fraction(text: str) -> Fraction:
    try:
        value = Fraction(text) if len(text) <= MOST_TEXT and PLAIN.fullmatch(text) else None  # no exponents: they grow
    except (ValueError, ZeroDivisionError):
        value = None
    if value is None or str(value) != text:
        raise ExpressionError(f"expected a reduced fraction, got `{text:.60}`; write it as `7/2`")
    return value


def _choice(expr: Expr) -> ChoiceTerm:
    if isinstance(expr, Read) and expr.field.kind is Kind.CHOICE:
        return ChoiceTerm(expr)
    raise ExpressionError("expected a choice field, got another expression; compare like with like")


_ARITY: Final = {
    "subtract": 2,
    "multiply": 2,
    "floor_divide": 2,
    "modulo": 2,
    "negate": 1,
    "absolute": 1,
    "implies": 2,
    "iff": 2,
    "not": 1,
    "choose": 3,
}


def _build(name: str, parts: tuple[Expr, ...]) -> Expr:
    known = name in _ARITY or name in {*Arithmetic, *Order, *Junction}
    arity = 2 if name in set(Order) else _ARITY.get(name, max(2, len(parts)))
    if not known or len(parts) != arity:
        raise ExpressionError(
            f"expected a known operator with its operands, got `{name:.60}` of {len(parts)}; check the text"
        )
    is_first_truth = name in {"not", "choose", *Junction}
    is_rest_truth = name in {"not", *Junction}
    for place, part in enumerate(parts):
        wants_truth = is_first_truth if place == 0 else is_rest_truth
        if not (is_truth(part) if wants_truth else is_number(part)):
            raise ExpressionError(
                f"expected {'conditions' if wants_truth else 'numbers'} in `{name}`, got another sort; check it"
            )
    if name == "not":
        return Not(parts[0])
    if name == "choose":
        return Choose(*parts)
    if name in set(Order):
        return Compare(Order(name), *parts)
    return Join(Junction(name), parts) if name in set(Junction) else Compute(Arithmetic(name), parts)
