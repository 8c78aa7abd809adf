"""Margins: laws of the degree, and the generated function against the specification."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symbolic import YES, Facts, Margin, RuleSet, codes_of, domain_of, fields, truth
from symbolic.expression import Arithmetic, Compare, Compute, Expr, Join, Not, Number, reads
from symbolic.reading.margin import degree
from symbolic.reading.measured import MAX_KEPT, compile_measure
from symbolic.reading.sentence import part
from tests.symbolic.strategies import ACTIONS, Operate, Plant, actions, conditions, exact_facts, rule_sets

s: Any = fields(Plant)
a: Any = fields(Operate)
STAY = Operate(valve=0.0, mode="off", hold=True)
HERE = Facts.of(Plant, level=0.5, rate=0.3, count=2, mode="slow", wanted="fast", alarm=False)


def exactly(facts: Facts) -> tuple[int, ...]:
    return tuple(code for code in facts.codes if isinstance(code, int))


def shifted(expr: Expr, shift: Fraction) -> Expr:
    """The condition with the left side of every comparison that counts moved by a number."""
    match expr:
        case Compare() if reads(expr):
            return Compare(expr.op, Compute(Arithmetic.ADD, (expr.left, Number(shift))), expr.right)
        case Not():
            return Not(shifted(expr.arg, shift))
        case Join():
            return Join(expr.op, tuple(shifted(arg, shift) for arg in expr.args))
        case _:
            return expr


@settings(max_examples=200)
@given(conditions, exact_facts, actions)
def test_degree_has_the_sign_of_the_truth(expr: Expr, facts: Facts, action: Operate) -> None:
    found = degree(expr, facts, codes_of(action))
    assert (found.value >= 0) if truth(expr, facts, action) is YES else (found.value <= 0)
    assert (found.comparison is None) is math.isinf(found.value)


@settings(max_examples=200)
@given(conditions, exact_facts, actions)
def test_comparison_of_a_degree_has_that_degree(expr: Expr, facts: Facts, action: Operate) -> None:
    found = degree(expr, facts, codes_of(action))
    if found.comparison is not None:
        own = degree(found.comparison, facts, codes_of(action)).value
        # `not l == r` has a degree of |l - r|, and `not l != r` of -|l - r|: what `!=` and `==` have.
        assert own == found.value


@settings(max_examples=200)
@given(conditions, exact_facts, actions, st.fractions(-1, 1, max_denominator=20))
def test_no_shift_by_less_than_the_degree_changes_the_truth(
    expr: Expr, facts: Facts, action: Operate, share: Fraction
) -> None:
    found = degree(expr, facts, codes_of(action)).value
    shift = share if math.isinf(found) else share * Fraction(found)
    if abs(shift) < abs(found):
        assert truth(shifted(expr, shift), facts, action) is truth(expr, facts, action)


@settings(max_examples=300)
@given(rule_sets(), st.lists(exact_facts, min_size=1, max_size=4), actions)
def test_generated_function_equals_the_specification(
    rules: RuleSet[Plant, Operate], facts: list[Facts], action: Operate
) -> None:
    codes = codes_of(action)
    for one in facts:
        found = rules.measure.function(exactly(one), codes)
        assert [place for place, _, _ in found] == rules.compiled(exactly(one), codes)
        for broken in found:
            violation = rules.rules[broken[0]].violation
            expected = degree(violation, one, codes)
            if expected.comparison is None:
                assert rules.measure.margin(broken) is None
            else:
                amount, text = Fraction(expected.value), part(expected.comparison, violation)
                assert rules.measure.margin(broken) == Margin(amount, text)


@pytest.mark.parametrize(
    ("violation", "text"),
    [
        (s.level < 2, "level < 2 by 1.5"),
        (s.level <= 0.5, "level <= 0.5 by 0"),
        (~(s.level >= 2), "level < 2 by 1.5"),
        ((s.level < 2) & (s.count > 1) & ~s.alarm, "count > 1 by 1"),
        ((s.level < 2) | (s.count > 1), "level < 2 by 1.5"),
        ((s.level < 2) | ~s.alarm, None),
        ((s.level < 2) | s.alarm, "level < 2 by 1.5"),
        (s.count == 2, "count == 2 by 0"),
        (s.count != 0, "count != 0 by 2"),
        (~s.alarm, None),
        ((a.mode == "off") & (s.mode == "slow"), None),
        (s.count * s.level > s.rate, "count * level > rate by 0.7"),
        (s.rate * (s.count - 3) < 1, "rate * ( count - 3 ) < 1 by 1.3"),
        ((s.mode == a.mode) | (s.count > a.valve), "count > valve by 2"),
    ],
)
def test_margin_names_the_comparison_that_decides(violation: Any, text: str | None) -> None:
    rules = RuleSet(Plant, Operate)
    rules.add(kind="forbid", name="rule", expression=violation)
    (found,) = rules.check(HERE, STAY).violations
    assert (None if found.margin is None else found.margin.text) == text


def test_measure_refuses_codes_outside_their_fields() -> None:
    measure = compile_measure([(s.level < 2).expr], domain_of(Plant), domain_of(Operate))
    with pytest.raises(ValueError, match="expected codes within their fields"):
        measure.function((99, 0, 0, 0, 0, 0), codes_of(ACTIONS[0]))


def test_margins_are_kept_up_to_a_bound_and_stay_what_they_were() -> None:
    rules = RuleSet(Plant, Operate)
    rules.add(kind="forbid", name="low", expression=s.level * s.count < a.valve + 9)
    kept = dataclasses.replace(
        rules.measure, known={(0, -value, 0): Margin(Fraction(), "") for value in range(MAX_KEPT)}
    )
    (found,) = rules.measure.function(exactly(HERE), codes_of(STAY))
    assert kept.margin(found) == kept.margin(found) == rules.measure.margin(found)
    assert len(kept.known) == 1
