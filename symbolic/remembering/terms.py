"""Past-time operators as users write them: `once(s.light == "red", within_s=2)`. `history.py` says what each means.

Past-time linear temporal logic with metric windows (Havelund and Rosu, Synthesizing monitors for safety properties,
2002; Thati and Rosu, Monitoring algorithms for metric temporal logic, 2005), over what is perceived at single moments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Final, overload

from symbolic.expression import (
    Expr,
    ExpressionError,
    Owner,
    Past,
    Quantified,
    Read,
    Remaining,
    Tense,
    children,
    is_truth,
    reads,
)
from symbolic.field import shortest
from symbolic.terms import NumberTerm, TruthTerm, Truthy, exact, truth_of

MOMENTS_PER_S: Final = 1_000_000
"""Time is counted in whole microseconds, so that windows are exact."""

MOST_S: Final = 10**9
"""A longer window is refused."""

WINDOWED: Final = frozenset({Tense.ONCE, Tense.HISTORICALLY, Tense.SINCE})
"""Operators that may have a window; held_for must."""


@overload
def prev(condition: bool) -> bool: ...
@overload
def prev(condition: TruthTerm) -> TruthTerm: ...
def prev(condition: Truthy) -> Truthy:
    """True where the condition held at the moment before; false at the first of a history that begins empty."""
    return _past(Tense.PREV, (condition,), None)


@overload
def rising(condition: bool) -> bool: ...
@overload
def rising(condition: TruthTerm) -> TruthTerm: ...
def rising(condition: Truthy) -> Truthy:
    """True where the condition holds now and did not at the moment before."""
    return _past(Tense.RISING, (condition,), None)


@overload
def once(condition: bool, *, within_s: float | None = None) -> bool: ...
@overload
def once(condition: TruthTerm, *, within_s: float | None = None) -> TruthTerm: ...
def once(condition: Truthy, *, within_s: float | None = None) -> Truthy:
    """True where the condition holds now or held at some moment of the last `within_s` seconds, of all time if None."""
    return _past(Tense.ONCE, (condition,), within_s)


@overload
def historically(condition: bool, *, within_s: float | None = None) -> bool: ...
@overload
def historically(condition: TruthTerm, *, within_s: float | None = None) -> TruthTerm: ...
def historically(condition: Truthy, *, within_s: float | None = None) -> Truthy:
    """True where the condition holds now and held at every moment of the last `within_s` seconds."""
    return _past(Tense.HISTORICALLY, (condition,), within_s)


@overload
def since(condition: bool, start: bool, *, within_s: float | None = None) -> bool: ...
@overload
def since(condition: TruthTerm, start: Truthy, *, within_s: float | None = None) -> TruthTerm: ...
def since(condition: Truthy, start: Truthy, *, within_s: float | None = None) -> Truthy:
    """True where `start` held at a moment of the last `within_s` seconds, and the condition ever after it."""
    return _past(Tense.SINCE, (condition, start), within_s)


@overload
def held_for(condition: bool, for_s: float) -> bool: ...
@overload
def held_for(condition: TruthTerm, for_s: float) -> TruthTerm: ...
def held_for(condition: Truthy, for_s: float) -> Truthy:
    """True where the condition has held at every moment since one that is `for_s` seconds ago or more."""
    return _past(Tense.HELD_FOR, (condition,), for_s)


@overload
def remaining_s(trigger: bool, done: bool, *, within_s: float, step_s: float) -> float: ...
@overload
def remaining_s(trigger: TruthTerm, done: Truthy, *, within_s: float, step_s: float) -> NumberTerm: ...
def remaining_s(trigger: Truthy, done: Truthy, *, within_s: float, step_s: float) -> NumberTerm | float:
    """Seconds left of a deadline: `done` must come within `within_s` of the earliest `trigger` since the last `done`.

    Counted in steps, rounded down: from `within_s`, also where nothing is due, to 0; `-step_s` once it is missed.
    """
    return NumberTerm(remaining(truth_of(trigger), truth_of(done), exact(within_s), exact(step_s)))


def _past(op: Tense, conditions: Sequence[Truthy], window_s: float | None) -> TruthTerm:
    window = None if window_s is None else exact(window_s)
    return TruthTerm(past(op.value, [truth_of(condition) for condition in conditions], window))


# Nodes, checked


def past(name: str, args: Sequence[Expr], window_s: Fraction | None) -> Expr:
    """A past-time truth; anything that has no meaning as one is an `ExpressionError`."""
    if name not in set(Tense):
        raise ExpressionError(f"expected one of {', '.join(Tense)}, got `{name:.60}`; correct the operator")
    op = Tense(name)
    if len(args) != (2 if op is Tense.SINCE else 1):
        raise ExpressionError(f"expected {2 if op is Tense.SINCE else 1} conditions in `{name}`, got {len(args)}")
    for arg in args:
        _demand_perceived(arg, name)
    if window_s is None and op is Tense.HELD_FOR:
        raise ExpressionError("expected for how long in `held_for`, got no time; give seconds")
    if window_s is not None:
        if op is not Tense.HELD_FOR and op not in WINDOWED:
            raise ExpressionError(f"expected no time in `{name}`, got {shortest(window_s)} s; it looks one moment back")
        _demand_span(window_s, name)
    return Past(op, tuple(args), window_s)


def remaining(trigger: Expr, done: Expr, window_s: Fraction, step_s: Fraction) -> Expr:
    """The time left of a deadline; anything that has no meaning as one is an `ExpressionError`."""
    for arg in (trigger, done):
        _demand_perceived(arg, "remaining_s")
    for span in (window_s, step_s):
        _demand_span(span, "remaining_s")
    if (window_s / step_s).denominator != 1:
        raise ExpressionError(
            f"expected whole steps until the deadline, got {shortest(window_s)} s in steps of {shortest(step_s)} s; "
            "correct the step"
        )
    return Remaining(trigger, done, window_s, step_s)


def _demand_perceived(arg: Expr, name: str) -> None:
    if not is_truth(arg):
        raise ExpressionError(f"expected a condition in `{name}`, got a number; compare it with a value")
    read = reads(arg)
    # What was done is not in the facts. What is remembered of a claim depends on messages too: `claiming/told.py`.
    # The neighbour in a place may be another than the one before: only a whole quantifier can be remembered.
    free = set(_free(arg, frozenset()))
    alien = [one.field.name for one in read if one.owner is Owner.ACTION or one in free]
    if alien or not read:
        got = f"`{alien[0]}`" if alien else "a constant"
        raise ExpressionError(f"expected a condition over what is perceived in `{name}`, got {got}; read such fields")


def _free(expr: Expr, named: frozenset[str]) -> Iterator[Read]:
    """Fields of neighbours that no quantifier inside names."""
    if isinstance(expr, Read) and expr.of and expr.of not in named:
        yield expr
    inner = named | {expr.name} if isinstance(expr, Quantified) else named
    for part in children(expr):
        yield from _free(part, inner)


def _demand_span(span_s: Fraction, name: str) -> None:
    if not 0 < span_s <= MOST_S or (span_s * MOMENTS_PER_S).denominator != 1:
        raise ExpressionError(
            f"expected a time above 0 s, of whole microseconds, in `{name}`, got {shortest(span_s)} s; correct it"
        )


def moments(span_s: Fraction) -> int:
    """Microseconds of a time that was checked."""
    return (span_s * MOMENTS_PER_S).numerator
