"""The reading for all actions at once says of each of them what the compiled function says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from symbolic import Facts, RuleKind, RuleSet, codes_of, fields, maximum, minimum
from symbolic.expression import Expr
from symbolic.reading.masks import compile_masks
from tests.symbolic.strategies import ACTIONS, Operate, Plant, conditions, exact_facts, rule_sets
from tests.symbolic.test_shield import EVERY_STATE

s: Any = fields(Plant)
a: Any = fields(Operate)


def expected(rules: RuleSet[Plant, Operate], state: tuple[int, ...]) -> int:
    return sum(1 << place for place, one in enumerate(ACTIONS) if rules.compiled(state, codes_of(one)))


@given(rule_sets(), exact_facts)
def test_bits_are_the_actions_that_break_a_rule(rules: RuleSet[Plant, Operate], facts: Facts) -> None:
    assert rules.broken(facts.codes) == expected(rules, facts.codes)  # type: ignore[arg-type]


@given(conditions)
def test_one_condition_is_read_alike_in_every_state(condition: Expr) -> None:
    rules = RuleSet(Plant, Operate)
    rules.add(kind="forbid", name="one", expression=condition)
    for facts in EVERY_STATE[::31]:
        assert rules.broken(facts.codes) == expected(rules, facts.codes)  # type: ignore[arg-type]


CASES = [
    s.level + a.valve > 1,
    s.level - 3 * a.valve <= s.rate,
    a.valve * 2 == s.count - 1,
    a.valve != s.level,
    -(a.valve - s.level) * 2 >= s.count,
    maximum(s.level, a.valve) < 1,
    minimum(a.valve * s.level, 1) + a.valve >= 0,
    s.mode == a.mode,
    ~(s.mode == a.mode) & a.hold,
    (s.alarm | a.hold) & ~(s.alarm & a.hold),
    s.alarm == a.hold,
    ~(s.alarm & ~a.hold) | (s.level > a.valve),
    a.hold | (a.valve > 0),
    s.alarm,
]


@pytest.mark.parametrize("kind", ["forbid", "require"])
@pytest.mark.parametrize("case", range(len(CASES)))
def test_each_way_to_mix_state_and_action_is_read_alike(case: int, kind: RuleKind) -> None:
    rules = RuleSet(Plant, Operate)
    rules.add(kind=kind, name="one", expression=CASES[case])
    for facts in EVERY_STATE[::3]:
        assert rules.broken(facts.codes) == expected(rules, facts.codes)  # type: ignore[arg-type]


@pytest.mark.parametrize("state", [(), (0,) * 5, (0,) * 7, (9, 0, 0, 0, 0, 0)])
def test_codes_outside_their_fields_are_refused(state: tuple[int, ...]) -> None:
    broken = compile_masks([s.alarm.expr], [codes_of(one) for one in ACTIONS], Plant.__domain__, Operate.__domain__)
    with pytest.raises(ValueError, match=r"^expected codes within their fields"):
        broken(state)
