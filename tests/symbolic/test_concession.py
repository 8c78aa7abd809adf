"""What is given up where no action complies: the lexicographic best, and never a critical rule."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from symbolic import Concession, Facts, RuleSet, concede, fields
from tests.symbolic.strategies import ACTIONS, Operate, Plant, exact_facts, open_facts, rule_sets

s: Any = fields(Plant)
a: Any = fields(Operate)
CALM = Facts.of(Plant, level=0, rate=0, count=0, mode="off", wanted="slow", alarm=True)


def rules_of(*declared: tuple[str, int, Any, bool]) -> RuleSet[Plant, Operate]:
    rules = RuleSet(Plant, Operate)
    for name, priority, expression, is_critical in declared:
        rules.add(kind="forbid", name=name, priority=priority, expression=expression, is_critical=is_critical)
    return rules


def test_the_less_important_rule_is_given_up_and_the_reason_says_why() -> None:
    rules = rules_of(("hold_it", 90, s.alarm & ~a.hold, False), ("let_go", 10, s.alarm & a.hold, False))
    found = concede(rules, CALM)
    assert found == Concession(
        actions=tuple(action for action in ACTIONS if action.hold),
        verdicts=tuple(rules.check(CALM, action) for action in ACTIONS if action.hold),
        given_up=(10,),
        reason="R2 given up: every action that keeps R2 breaks R1",
    )


def test_a_rule_that_no_action_keeps_is_said_to_be_such() -> None:
    rules = rules_of(("never", 50, s.alarm & (a.valve < 2), False))
    found = concede(rules, CALM)
    assert found is not None
    assert (len(found.actions), found.reason) == (len(ACTIONS), "R1 given up: no action keeps R1")


def test_a_critical_rule_is_never_given_up_however_low_it_ranks() -> None:
    rules = rules_of(("hold_it", 90, s.alarm & ~a.hold, False), ("let_go", 10, s.alarm & a.hold, True))
    found = concede(rules, CALM)
    assert found is not None
    assert {action.hold for action in found.actions} == {False}
    assert concede(rules_of(("a", 90, s.alarm & ~a.hold, True), ("b", 10, s.alarm & a.hold, True)), CALM) is None


@st.composite
def sets_with_critical_rules(draw: st.DrawFn) -> RuleSet[Plant, Operate]:
    drawn, rules = draw(rule_sets()), RuleSet(Plant, Operate)
    for rule in drawn.rules:
        rules.add(
            kind=rule.kind,
            name=rule.name,
            priority=draw(st.integers(1, 3)),
            expression=rule.expression,
            is_critical=draw(st.booleans()),
        )
    rules.add(kind="forbid", name="always", priority=2, expression=a.valve <= draw(st.sampled_from([0.5, 2])))
    return rules


@given(sets_with_critical_rules(), st.one_of(exact_facts, open_facts))
def test_what_is_conceded_is_the_best_of_all_that_break_nothing_critical(
    rules: RuleSet[Plant, Operate], facts: Facts
) -> None:
    verdicts = {action: rules.check(facts, action) for action in ACTIONS}
    critical = {rule.anchor for rule in rules.rules if rule.is_critical}
    found = concede(rules, facts)
    open_to = {
        action: sorted((one.priority for one in verdict.violations), reverse=True)
        for action, verdict in verdicts.items()
        if not verdict.undecided and not critical & {one.rule for one in verdict.violations}
    }
    if any(verdict.is_safe for verdict in verdicts.values()) or not open_to:
        assert found is None
        return
    assert found is not None
    # Lists of priorities, highest first, compare as their counts by priority do: a prefix is the better one.
    least = min(open_to.values())
    assert list(found.actions) == [action for action in ACTIONS if open_to.get(action) == least]
    assert list(found.given_up) == least
