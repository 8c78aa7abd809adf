"""The nearest safe action is safe, and no other safe action is nearer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from symbolic import Facts, RuleSet, distance, fields, nearest
from tests.symbolic.strategies import ACTIONS, Operate, Plant, actions, exact_facts, rule_sets

HERE = Facts.of(Plant, level=0.5, rate=0.3, count=2, mode="slow", wanted="fast", alarm=False)
a: Any = fields(Operate)


@given(rule_sets(), exact_facts, actions)
def test_nearest_is_safe_and_none_is_nearer(rules: RuleSet[Plant, Operate], facts: Facts, action: Operate) -> None:
    found = nearest(rules, facts, action)
    safe = [other for other in ACTIONS if rules.check(facts, other).is_safe]
    if not safe:
        assert found is None
        return
    assert found in safe
    least = min(distance(action, other) for other in safe)
    assert found == next(other for other in safe if distance(action, other) == least)


def test_safe_action_is_its_own_nearest() -> None:
    rules = RuleSet(Plant, Operate)
    rules.add(kind="forbid", name="no_fast", expression=a.mode == "fast")
    stay = Operate(valve=0.0, mode="off", hold=True)
    assert rules.nearest(HERE, stay) == stay


def test_steps_count_grid_points_and_places() -> None:
    left, right = Operate(valve=-0.5, mode="off", hold=True), Operate(valve=0.5, mode="fast", hold=True)
    assert distance(left, right) == 3


def test_no_safe_action_is_none() -> None:
    rules = RuleSet(Plant, Operate)
    rules.add(kind="forbid", name="all", expression=a.hold | ~a.hold)
    assert rules.nearest(HERE, ACTIONS[0]) is None


def test_wanted_action_of_another_type_is_refused() -> None:
    rules = RuleSet(Plant, Operate)
    rules.add(kind="forbid", name="hold", expression=a.hold)
    with pytest.raises(TypeError, match=r"^expected an action of `Operate`, got `str`; parse it first$"):
        nearest(rules, HERE, "A1")  # type: ignore[arg-type]
