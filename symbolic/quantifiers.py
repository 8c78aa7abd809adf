"""What rules say of neighbours (`all_of`, `any_of`, `count_of`) and of what is not known of a field (`known`).

all_of(s.others, lambda o: (o.gap_m > 5) | o.yields)
count_of(s.others, lambda o: o.gap_m < 5) <= 1
known(s.gap_m) | (a.manoeuvre == "stop")
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from symbolic.domain import State
from symbolic.expression import (
    MAX_NESTING,
    Expr,
    ExpressionError,
    Owner,
    Quantified,
    Quantifier,
    Read,
    children,
    is_truth,
    walk,
)
from symbolic.neighbours import Neighbours
from symbolic.terms import ChoiceTerm, Fields, NumberTerm, TruthTerm, truth_of

F = TypeVar("F")


def all_of(others: tuple[F, ...], condition: Callable[[F], bool]) -> bool:
    """True where the condition holds for every neighbour who is there, so also where nobody is."""
    return cast(bool, TruthTerm(_traced(Quantifier.ALL, others, condition)))


def any_of(others: tuple[F, ...], condition: Callable[[F], bool]) -> bool:
    """True where the condition holds for some neighbour who is there."""
    return cast(bool, TruthTerm(_traced(Quantifier.ANY, others, condition)))


def count_of(others: tuple[F, ...], condition: Callable[[F], bool]) -> int:
    """How many of the neighbours who are there fulfil the condition."""
    return cast(int, NumberTerm(_traced(Quantifier.COUNT, others, condition)))


def known(field: object) -> bool:
    """True where something is known of an optional field: a value, or an interval. It is itself never open."""
    if isinstance(field, NumberTerm | TruthTerm | ChoiceTerm) and isinstance(field.expr, Read):
        return cast(bool, TruthTerm(known_flag(field.expr)))
    raise ExpressionError(f"expected an optional field in `known`, got `{field!r:.60}`; give the field itself")


def value_of(field: F | None) -> F:
    """The field itself: for those who want type checkers to read a value where a field is optional."""
    return cast(F, field)


def known_flag(read: Read) -> Read:
    """The flag that says whether an optional field is known; other fields are an `ExpressionError`."""
    if read.field.known is None:
        raise ExpressionError(
            f"expected an optional field in `known`, got `{read.field.name}`; declare it with `| None`"
        )
    return Read(read.owner, read.field.known, read.of)


def quantified(op: Quantifier, over: Neighbours, name: str, body: Expr) -> Quantified:
    """The node, checked: a condition that calls the neighbour by a name of its own, nested no deeper than allowed."""
    if not is_truth(body):
        raise ExpressionError(
            f"expected a condition of each of `{over.name}`, got another sort; compare it with a value"
        )
    inner = [node for node in walk(body) if isinstance(node, Quantified)]
    if not name.isidentifier() or name in {*Owner} or any(node.name == name for node in inner):
        raise ExpressionError(
            f"expected a new name for one of `{over.name}`, not `state` or `action`, got `{name}`; rename it"
        )
    if _nesting(body) >= MAX_NESTING:
        raise ExpressionError(f"expected at most {MAX_NESTING} quantifiers within each other, got more; split the rule")
    return Quantified(op, over, name, body)


def bound(over: Neighbours, name: str) -> Fields:
    """Symbolic fields of one neighbour, by the name that a quantifier gives to it."""
    return Fields(cast("type[State]", over.schema), name)


def _nesting(expr: Expr) -> int:
    return isinstance(expr, Quantified) + max(map(_nesting, children(expr)), default=0)


def _traced(op: Quantifier, others: object, condition: Callable[[Any], object]) -> Quantified:
    if not isinstance(others, Neighbours):
        raise ExpressionError(f"expected neighbours in `{op.value}_of`, got `{others!r:.60}`; declare them with many()")
    try:
        names = list(inspect.signature(condition).parameters)
    except (TypeError, ValueError):
        raise ExpressionError(
            f"expected a condition of one neighbour, got `{condition!r:.60}`; write `lambda o: ...`"
        ) from None
    if len(names) != 1:
        raise ExpressionError(f"expected a condition of one neighbour, got one of {len(names)}; write `lambda o: ...`")
    return quantified(op, others, names[0], truth_of(condition(bound(others, names[0]))))
