"""The nearest safe action is safe, and no other safe action is nearer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from symbolic import Facts, Metric, MetricError, RuleSet, distance, fields, nearest
from tests.symbolic.strategies import ACTIONS, Operate, Plant, actions, exact_facts, rule_sets
from tests.symbolic.test_metric import STEER, metrics

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


@given(rule_sets(), exact_facts, actions, metrics)
def test_nearest_under_a_metric_is_the_first_of_the_nearest_safe_ones(
    rules: RuleSet[Plant, Operate], facts: Facts, action: Operate, metric: Metric
) -> None:
    safe = [other for other in ACTIONS if rules.check(facts, other).is_safe]
    ranked = sorted(safe, key=lambda other: metric.distance(action, other))
    assert rules.nearest(facts, action, metric) == next(iter(ranked), None)


def test_a_metric_decides_which_way_to_give_way() -> None:
    rules = RuleSet(Plant, Operate)
    rules.add(kind="forbid", name="fast_and_open", expression=(a.mode == "fast") & (a.valve > 0))
    wanted = Operate(valve=0.5, mode="fast", hold=True)
    gentle, strict = Metric.of(Operate, valve=1, mode=9, hold=1), Metric.of(Operate, valve=9, mode=1, hold=1)
    assert rules.nearest(HERE, wanted, gentle) == Operate(valve=0.0, mode="fast", hold=True)
    assert rules.nearest(HERE, wanted, strict) == Operate(valve=0.5, mode="off", hold=True)


def test_a_metric_of_another_type_is_refused() -> None:
    rules = RuleSet(Plant, Operate)
    rules.add(kind="forbid", name="hold", expression=a.hold)
    with pytest.raises(MetricError, match=r"^expected a metric of `Operate`, got one of `Steer`; declare its own$"):
        rules.nearest(HERE, ACTIONS[0], STEER)


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
