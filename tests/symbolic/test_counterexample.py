"""Counterexamples of open facts: allowed, replayed, and the first in order where they say so."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings

from symbolic import MAYBE, UNKNOWN, Facts, Interval, RuleSet, State, fields, fixed, violated
from tests.symbolic.strategies import Operate, Plant, actions, every_state, open_facts, rule_sets

s: Any = fields(Plant)
a: Any = fields(Operate)
STAY = Operate(valve=0.0, mode="off", hold=True)


class Field(State):
    x: float = fixed(ge=0, le=500, step=0.5)
    y: float = fixed(ge=0, le=500, step=0.5)


@settings(max_examples=60)
@given(rule_sets(), open_facts, actions)
def test_counterexample_is_the_first_allowed_state_that_breaks_the_rule(
    rules: RuleSet[Plant, Operate], facts: Facts, action: Operate
) -> None:
    verdict = rules.check(facts, action)
    by_anchor = {rule.anchor: rule for rule in rules.rules}
    for found in verdict.violations:
        if facts.is_exact:
            assert found.counterexample is None
            continue
        assert found.counterexample is not None
        rule, state = by_anchor[found.rule], found.counterexample
        assert violated(rule, state.facts.state(), action)
        assert all(
            low <= code <= high
            for code, (low, high) in zip(state.codes, map(facts.span, Plant.__domain__.fields), strict=True)
        )
        before = (one for one in every_state(facts) if one.codes < state.codes)
        if state.is_first:
            assert not any(violated(rule, one.state(), action) for one in before)


def field_rules(expression: Any, decider: Any = None) -> RuleSet[Field, Operate]:
    rules = RuleSet(Field, Operate, decider=decider)
    rules.add(kind="forbid", name="rule", expression=expression)
    return rules


f: Any = fields(Field)
FOG = Facts.of(Field, x=UNKNOWN, y=Interval(3, 500))


def test_counterexample_of_a_wide_box_is_found_by_halving() -> None:
    (found,) = field_rules(f.x + f.y > 700.25).check(FOG, STAY).violations
    assert found.counterexample is not None
    assert (dict(found.counterexample.facts.items()), found.counterexample.is_first) == ({"x": 200.5, "y": 500.0}, True)
    assert found.margin is not None
    assert found.margin.text == "x + y > 700.25 by 0.25"


def test_counterexample_that_only_the_solver_finds_is_replayed_and_not_called_first() -> None:
    narrow = (f.x * 7 - f.y * 5 == 3.5) & (f.y > 20) & (f.x * 2 - f.y > 100) & (f.x < 400)
    (found,) = field_rules(narrow).check(FOG, STAY).violations
    assert found.counterexample is not None
    assert not found.counterexample.is_first
    assert violated(field_rules(narrow).rules[0], found.counterexample.facts.state(), STAY)


def test_word_of_a_decider_without_an_example_stays_a_violation() -> None:
    never = (f.x * 7 - f.y * 5 == 3.5) & (f.x * 14 - f.y * 10 == 6)
    (found,) = field_rules(never, lambda *_: (MAYBE,)).check(FOG, STAY).violations
    assert (found.counterexample, found.margin) == (None, None)
