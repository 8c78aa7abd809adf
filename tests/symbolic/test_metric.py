"""A metric keeps its laws, reads back what it wrote, and is refused where it is none."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbolic import Action, DomainError, Metric, MetricError, distance, fixed
from tests.symbolic.strategies import ACTIONS, Operate, actions


class Steer(Action):
    angle: float = fixed(ge=-1, le=1, step=0.5)
    gear: Literal["low", "middle", "high"]
    horn: bool


GEARS = {("low", "middle"): 1, ("high", "middle"): 2.5, ("low", "high"): 3}
STEER = Metric.of(Steer, angle=2, gear=GEARS, horn=Fraction(1, 3))

costs = st.fractions(min_value=Fraction(1, 20), max_value=20, max_denominator=20)
metrics = st.builds(
    lambda valve, mode, hold: Metric.of(Operate, valve=valve, mode=mode, hold=hold), costs, costs, costs
)


@given(st.one_of(metrics, st.just(Metric.steps(Operate))), actions, actions, actions)
def test_no_way_is_shorter_than_the_straight_one_and_all_go_both_ways(
    metric: Metric, one: Operate, other: Operate, third: Operate
) -> None:
    away = metric.distance(one, other)
    assert (away == 0) is (one == other)
    assert away == metric.distance(other, one)
    assert away <= metric.distance(one, third) + metric.distance(third, other)


@given(metrics)
def test_what_was_written_reads_back(metric: Metric) -> None:
    assert Metric.from_json(metric.to_json(), Operate) == metric


def test_costs_are_of_units_changes_and_words() -> None:
    left, right = Steer(angle=-0.5, gear="high", horn=False), Steer(angle=1.0, gear="low", horn=True)
    assert STEER.distance(left, right) == 2 * Fraction(3, 2) + 3 + Fraction(1, 3)
    assert STEER.distance(left, Steer(angle=-0.5, gear="middle", horn=False)) == Fraction(5, 2)
    assert Metric.from_json(STEER.to_json(), Steer) == STEER


def test_steps_are_those_of_the_distance() -> None:
    steps = Metric.steps(Operate)
    assert all(steps.distance(one, other) == distance(one, other) for one in ACTIONS for other in ACTIONS)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Metric.of(Steer, angle=1, horn=1), "expected a cost for `gear`, got none; give one for each field"),
        (
            lambda: Metric.of(Steer, angle=0, gear=1, horn=1),
            "expected a cost above 0 for `angle`, got `0`; free changes",
        ),
        (lambda: Metric.of(Steer, angle=float("nan"), gear=1, horn=1), "expected a finite cost for `angle`, got `nan`"),
        (lambda: Metric.of(Steer, angle=True, gear=1, horn=1), "expected a finite cost for `angle`, got `True`"),
        (
            lambda: Metric.of(Steer, angle=1, gear={("low", "high"): 1}, horn=1),
            "expected a cost for each pair of different words of `gear` once",
        ),
        (
            lambda: Metric.of(Steer, angle=1, gear={**GEARS, ("middle", "low"): 1}, horn=1),
            "expected a cost for each pair of different words of `gear` once",
        ),
        (
            lambda: Metric.of(Steer, angle=1, gear={**GEARS, ("low", "high"): 4}, horn=1),
            "expected no detour to be cheaper for `gear`, got one from `low` to `high` over `middle`",
        ),
        (
            lambda: Metric.of(Steer, angle=1, gear={**GEARS, ("low", "high"): -1}, horn=1),
            "expected costs above 0 and the same both ways for `gear`",
        ),
        (
            lambda: Metric.of(Steer, angle={("low", "high"): 1}, gear=1, horn=1),
            "expected a cost for each pair of different words of `angle` once",
        ),
        (lambda: Metric(Steer, (Fraction(1),)), "expected 3 costs, got 1; give one for each field"),
        (lambda: Metric.from_json("[]", Steer), "expected a metric as JSON, got `'\\[\\]'`"),
        (lambda: Metric.from_json(STEER.to_json(), Operate), "expected version 1 of a metric of `Operate`"),
    ],
)
def test_what_is_no_metric_is_refused(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(MetricError, match=f"^{text}"):
        make()


def test_a_field_that_is_not_declared_is_refused() -> None:
    with pytest.raises(DomainError, match=r"^expected a field of `Steer`"):
        Metric.of(Steer, angle=1, gear=1, horn=1, speed=1)


def test_a_distance_between_other_actions_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^expected an action of `Steer`, got `Operate`"):
        STEER.distance(ACTIONS[0], ACTIONS[1])
