"""Action types too wide to list: checked and repaired, and refused where a list is needed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symbolic import (
    UNKNOWN,
    Action,
    DomainError,
    Facts,
    Interval,
    Metric,
    RuleError,
    RuleSet,
    State,
    codes_of,
    fields,
    fixed,
    verify,
    whole,
)
from symbolic.certifying.certificate import repair_certificate
from symbolic.certifying.checker import RefusedError, check
from symbolic.domain import action_of
from symbolic.solving.apart import goes_apart
from symbolic.solving.session import Budget
from symbolic.solving.smt import Solver
from tests.symbolic.strategies import ACTIONS, Operate, Plant, actions, exact_facts, rule_sets
from tests.symbolic.test_certificate import canonical
from tests.symbolic.test_metric import metrics
from tests.symbolic.test_verify import SOLVER


class Road(State):
    gap: int = whole(ge=0, le=50)
    speed: int = whole(ge=0, le=20)
    wet: bool


class Pedals(Action):
    throttle: float = fixed(ge=0, le=10, step=0.1)
    brake: float = fixed(ge=0, le=10, step=0.1)
    horn: bool


s: Any = fields(Road)
a: Any = fields(Pedals)
PEDALS = Metric.of(Pedals, throttle=2, brake=3, horn=1)


def road() -> RuleSet[Road, Pedals]:
    rules = RuleSet(Road, Pedals)
    rules.add(kind="forbid", name="close", expression=(s.gap < s.speed) & (a.throttle - a.brake > s.gap - s.speed))
    rules.add(kind="forbid", name="both", expression=(a.throttle > 0) & (a.brake > 0))
    rules.add(kind="forbid", name="slip", expression=s.wet & (a.brake > 4))
    rules.add(kind="require", name="warn", expression=(s.gap > 5) | a.horn)
    return rules


def seen(gap: Any, speed: Any, wet: Any = False) -> Facts:
    return Facts.of(Road, gap=gap, speed=speed, wet=wet)


def pedals(throttle: float, brake: float, horn: bool = False) -> Pedals:
    return Pedals(throttle=throttle, brake=brake, horn=horn)


@settings(max_examples=30)
@given(rule_sets(), exact_facts, actions, st.one_of(metrics, st.just(Metric.steps(Operate))))
def test_the_solver_finds_the_same_nearest_action_as_looking_at_all(
    rules: RuleSet[Plant, Operate], facts: Facts, wanted: Operate, metric: Metric
) -> None:
    found = SOLVER.nearest(rules, [facts.codes], codes_of(wanted), metric)  # type: ignore[list-item]
    expected = rules.nearest(facts, wanted, metric)
    assert found == (False if expected is None else codes_of(expected))


@pytest.mark.parametrize("wanted", ACTIONS)
def test_of_many_that_are_equally_far_the_solver_gives_the_first(wanted: Operate) -> None:
    rules, o = RuleSet(Plant, Operate), fields(Operate)
    same = (o.valve == wanted.valve) & (o.mode == wanted.mode) & (o.hold == wanted.hold)
    rules.add(kind="forbid", name="not_that", expression=same)
    found = SOLVER.nearest(rules, [(0, 0, 0, 0, 0, 0)], codes_of(wanted), Metric.steps(Operate))
    away = {codes_of(one): Metric.steps(Operate).distance(one, wanted) for one in ACTIONS if one != wanted}
    assert found == min(away, key=lambda codes: (away[codes], codes))


@pytest.mark.parametrize(
    ("facts", "wanted", "found"),
    [
        (seen(20, 10), pedals(3, 0), pedals(3, 0)),
        (seen(20, 10), pedals(3, 1), pedals(3, 0)),
        (seen(20, 10), pedals(3, 2), pedals(0, 2)),  # as far as pedals(3, 0), and first in order
        (seen(10, 12), pedals(3, 0), pedals(0, 2)),
        (seen(4, 6), pedals(3, 0), pedals(0, 2, horn=True)),
        (seen(10, 18, wet=True), pedals(3, 0), None),
        (seen(10, Interval(8, 13)), pedals(3, 0), pedals(0, 3)),
        (seen(Interval(9, 11), 12, wet=UNKNOWN), pedals(1, 0), pedals(0, 3)),
        (seen(Interval(4, 30), 9), pedals(0, 0), pedals(0, 5, horn=True)),
        (seen(UNKNOWN, UNKNOWN), pedals(0, 0), None),
    ],
)
def test_the_nearest_of_many_actions_is_found_and_certified(facts: Facts, wanted: Pedals, found: Pedals | None) -> None:
    assert road().nearest(facts, wanted, PEDALS) == found
    text = repair_certificate(road(), facts, wanted, PEDALS)
    if text is None:
        assert found is None
        return
    assert check(text, road().to_json()) == "repair"
    far = canonical({**json.loads(text), "action": pedals(0, 10, horn=True).model_dump()})
    with pytest.raises(RefusedError):
        check(far, road().to_json())


def test_rules_that_multiply_fields_are_repaired_alike_by_the_process_apart() -> None:
    rules = RuleSet(Road, Pedals)
    rules.add(kind="forbid", name="power", expression=s.speed * a.throttle > 30 + a.brake * s.gap)
    assert goes_apart(rules)
    for speed, found in ((10, pedals(3, 0)), (3, pedals(10, 0))):
        assert rules.nearest(seen(0, speed), pedals(10, 0), PEDALS) == found
    assert rules.nearest(seen(5, 10), pedals(10, 0), PEDALS) == pedals(3, 0)
    with Solver(apart=None) as here:
        assert here.nearest(rules, [(5, 10, 0)], (100, 0, 0), PEDALS) == (30, 0, 0)


def test_a_budget_that_is_too_small_gives_nothing() -> None:
    with Solver(Budget(rlimit=1)) as solver:
        assert solver.nearest(road(), [(10, 12, 0)], codes_of(pedals(3, 0)), PEDALS) is None


def test_facts_that_contradict_or_are_foreign_get_no_action() -> None:
    for facts in (Facts.from_codes(Road, (99, 0, 0)), Facts.from_codes(Road, (1,)), Facts.from_codes(Plant, (0,) * 6)):
        assert road().nearest(facts, pedals(3, 0)) is None


def test_what_needs_a_list_of_actions_is_refused() -> None:
    for ask in (lambda: road().actions, lambda: road().compliant(seen(20, 10)), lambda: verify(road())):
        with pytest.raises(DomainError, match=r"^expected at most 4096 actions of `Pedals` to list, got 20402"):
            ask()


def test_rules_over_many_actions_are_overridden_by_permits_alone() -> None:
    rules = road()
    rules.add(kind="permit", name="emergency", priority=90, expression=s.wet, overrides=["warn"])
    assert rules.check(seen(3, 0, wet=True), pedals(0, 0)).is_safe
    rules = road()
    rules.add(kind="forbid", name="silence", expression=s.wet & a.horn, overrides=["warn"])
    with pytest.raises(RuleError, match=r"^rule `silence`: expected permits to override where actions are too many"):
        _ = rules.rules


def test_codes_outside_their_fields_are_no_action() -> None:
    assert action_of(Operate, codes_of(ACTIONS[3])) == ACTIONS[3]
    with pytest.raises(ValueError, match="valve"):
        action_of(Operate, (9, 0, 0))
