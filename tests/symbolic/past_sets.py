"""A small domain, and strategies for past-time conditions and histories over it."""

from __future__ import annotations

import operator
from fractions import Fraction
from typing import Any, Literal

from hypothesis import strategies as st

from symbolic import Action, Facts, RuleSet, State, fields, fixed
from symbolic.declaration import opposite
from symbolic.expression import Compare, Expr, Number, Order, Past, Remaining, Tense
from symbolic.terms import TruthTerm

STEP = 500_000
"""Half a second in microseconds: times and windows are multiples of it, so that they often meet."""


class Gauge(State):
    level: float = fixed(ge=0, le=2, step=0.5)
    alarm: bool
    mode: Literal["off", "slow", "fast"]


class Turn(Action):
    valve: Literal["shut", "open"]


s: Any = fields(Gauge)
ATOMS: list[Expr] = [s.alarm.expr, (s.level > 1).expr, (s.mode == "off").expr]
JUNCTIONS = st.sampled_from([operator.and_, operator.or_])
windows = st.integers(1, 5).map(lambda count: Fraction(count, 2))


def conditions(depth: int) -> st.SearchStrategy[Expr]:
    """Conditions with operators nested up to a depth."""
    if depth == 0:
        return st.sampled_from(ATOMS)
    inner = conditions(depth - 1)
    past = st.one_of(
        st.builds(Past, st.sampled_from([Tense.PREV, Tense.RISING]), st.tuples(inner)),
        st.builds(Past, st.sampled_from([Tense.ONCE, Tense.HISTORICALLY]), st.tuples(inner), st.none() | windows),
        st.builds(Past, st.just(Tense.HELD_FOR), st.tuples(inner), windows),
        st.builds(Past, st.just(Tense.SINCE), st.tuples(inner, inner), st.none() | windows),
        st.builds(Remaining, inner, inner, windows, st.just(Fraction(1, 2))).map(
            lambda left: Compare(Order.LE, left, Number(Fraction(1, 2)))
        ),
    )
    joined = st.builds(lambda left, right, both: both(TruthTerm(left), TruthTerm(right)).expr, inner, inner, JUNCTIONS)
    return st.one_of(past, past, past, joined, inner.map(opposite))


codes = st.tuples(
    st.one_of(st.integers(0, 4), st.none(), st.tuples(st.integers(0, 2), st.integers(3, 4))),
    st.one_of(st.integers(0, 1), st.integers(0, 1), st.none()),
    st.one_of(st.integers(0, 2), st.integers(0, 2), st.none()),
)
histories = st.lists(st.tuples(st.integers(1, 5), codes), min_size=1, max_size=14)
"""Steps from the moment before, in half seconds, and codes of the state."""


def moments_of(history: list[tuple[int, Any]]) -> list[tuple[int, Facts]]:
    """Times in microseconds and facts."""
    time, found = 0, []
    for step, code in history:
        time += step * STEP
        found.append((time, Facts.from_codes(Gauge, code)))
    return found


def rules_of(condition: Expr) -> RuleSet[Gauge, Turn]:
    """A set with one rule: no opening under the condition."""
    rules: RuleSet[Gauge, Turn] = RuleSet(Gauge, Turn)
    a: Any = fields(Turn)
    rules.add(kind="forbid", name="keep_shut", expression=TruthTerm(condition) & (a.valve == "open"))
    return rules
