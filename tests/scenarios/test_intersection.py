"""The crossing: what cars perceive, what the rules make of it, and that the simulator is read correctly."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

pytest.importorskip("highway_env", reason="needs the extra `driving`")

from scenarios.baselines import always, evaluate, greedy_compliant, play
from scenarios.intersection import IntersectionWorld, scenario
from scenarios.intersection.geometry import discs_of
from scenarios.intersection.perception import braking, cruise_time, lead_of, sprint_time
from scenarios.intersection.rules import Car, rules
from scenarios.world import WorldError
from symbolic import Facts, domain_of, lines

STOP = scenario.roles["car"].safe_stop


@pytest.fixture(scope="module")
def world() -> Iterator[IntersectionWorld]:
    made = IntersectionWorld()
    yield made
    made.close()


def sampled(rng: random.Random) -> Facts:
    """Any state at all, reachable or not."""
    return Facts.from_codes(Car, tuple(rng.randint(field.low, field.high) for field in domain_of(Car).fields))


def test_every_state_has_a_compliant_action() -> None:
    rng = random.Random(1)
    assert all(any(rules.compliant(sampled(rng))) for _ in range(3000))


def test_rules_are_few_and_small_enough_to_be_read() -> None:
    assert len(rules.rules) == 8
    assert len(domain_of(Car).fields) <= 10
    assert all(len(line.conditions) <= 3 for rule in rules.rules for line in lines(rule, rules.actions))
    assert all(len(lines(rule, rules.actions)) <= 2 for rule in rules.rules)


def test_every_rule_names_its_source() -> None:
    assert all(rule.source and rule.title.endswith(".") for rule in rules.rules)


def test_every_rule_fires_in_a_reached_state_and_none_leaves_no_way_out() -> None:
    fired: set[str] = set()

    def spy(facts: Facts, goal: tuple[int, ...], rng: random.Random) -> int:
        verdicts = [rules.check(facts, action) for action in rules.actions]
        fired.update(violation.name for verdict in verdicts for violation in verdict.violations)
        assert any(verdict.is_safe for verdict in verdicts)
        return next(index for index in goal if verdicts[index].is_safe)

    table = evaluate(IntersectionWorld, spy, (3, 9))
    assert fired == {rule.name for rule in rules.rules}
    assert sum(table.caused) == 0
    assert table.arrivals > 0


def test_default_traffic_is_there_and_is_not_ours(world: IntersectionWorld) -> None:
    world.reset(seed=0)
    bodies = world.truth().bodies
    assert sum(body.is_ours for body in bodies) == 4
    assert any(not body.is_ours for body in bodies)


def test_cars_start_on_four_arms_and_none_turns_back(world: IntersectionWorld) -> None:
    for seed in range(8):
        world.reset(seed=seed)
        movements = [world._seen(agent).path.movement for agent in world.agents]
        assert [start for start, _ in movements] == [0, 1, 2, 3]
        assert all(start != end for start, end in movements)


def test_collision_ends_the_episode_and_names_both(world: IntersectionWorld) -> None:
    for seed in range(10):
        last = play(world, always(1), seed)[-1]
        if last.contacts:
            names = {body.name for body in last.bodies}
            assert last.is_over
            assert all({contact.agent, contact.other} <= names for contact in last.contacts)
            assert {contact.agent for contact in last.contacts} == {
                name for name, agent in last.agents.items() if agent.has_crashed
            }
            return
    pytest.fail("expected a collision of cars that never brake in one of ten episodes")


def test_arrived_car_leaves_the_road(world: IntersectionWorld) -> None:
    history = play(world, greedy_compliant(rules, STOP), seed=0)
    arrived = {name for name, agent in history[-1].agents.items() if agent.has_arrived}
    assert arrived
    assert arrived.isdisjoint(body.name for body in history[-1].bodies)
    assert all(history[-1].agents[name].facts is None for name in arrived)


def test_car_that_slows_down_stops_within_its_braking_distance(world: IntersectionWorld) -> None:
    world.reset(seed=0)
    start = {agent: world._seen(agent) for agent in world.agents}
    for _ in range(8):
        world.step(dict.fromkeys(world.agents, 0))
    for agent, before in start.items():
        gone = world._seen(agent).s_m - before.s_m
        assert gone <= braking(before.speed_mps, world.step_s) + 1.0


def test_wreck_that_slides_into_the_way_is_perceived_before_it_lies_there(world: IntersectionWorld) -> None:
    """Found in episode 127: a wreck beside the path slid onto it when the car could no longer stop."""
    world.reset(seed=0)
    me = world._seen("car-1")
    ahead = me.path.points[me.sample + 30]
    beside = {"x_m": float(ahead[0]) + 6.0, "y_m": float(ahead[1]), "heading_rad": math.pi, "speed_mps": 8.0}
    discs = discs_of(beside["x_m"], beside["y_m"], beside["heading_rad"])
    passing = replace(world._seen("car-2"), discs=discs, has_crashed=False, **beside)
    assert lead_of(me, [passing]) is None
    found = lead_of(me, [replace(passing, has_crashed=True)])
    assert found is not None
    assert 10.0 < found.gap_m < 15.0
    assert found.braking_m == 0.0


def test_braking_grows_with_speed() -> None:
    distances = [braking(speed / 2, 1 / 3) for speed in range(21)]
    assert distances == sorted(distances)
    assert distances[0] == 0.0


def test_cruise_time_at_cruising_speed_is_distance_over_speed() -> None:
    assert cruise_time(9.0, 18.0) == pytest.approx(2.0)
    assert cruise_time(0.0, 18.0) == pytest.approx(2.6, abs=0.05)


def test_sprint_is_never_slower_than_constant_speed() -> None:
    assert all(sprint_time(v, d) <= d / v + 1e-9 for v in (1.0, 5.0, 10.0, 12.0) for d in (0.5, 5.0, 40.0))


@pytest.mark.parametrize("wrong", [{"cars": 0}, {"cars": 5}, {"duration_s": 0.0}, {"duration_s": float("nan")}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(WorldError, match="expected"):
        IntersectionWorld(**wrong)  # type: ignore[arg-type]
