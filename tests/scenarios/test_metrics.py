"""Blame and closeness on hand-made truths."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from scenarios.metrics import is_caused, measure
from scenarios.world import AgentTruth, Body, Contact, Truths

CAR = Body(
    name="car-1",
    is_ours=True,
    x_m=0.0,
    y_m=0.0,
    heading_rad=0.0,
    speed_mps=5.0,
    length_m=5.0,
    width_m=2.0,
    priority=1,
    entered_s=0.5,
)
OTHER = replace(CAR, name="traffic-1", is_ours=False, priority=3, entered_s=None)


def truths(tick: int, *bodies: Body, contacts: tuple[Contact, ...] = (), has_arrived: bool = False) -> Truths:
    crashed = {contact.agent for contact in contacts}
    agents = {
        body.name: AgentTruth(
            has_crashed=body.name in crashed, has_arrived=has_arrived, speed_mps=body.speed_mps, facts=None
        )
        for body in bodies
        if body.is_ours
    }
    return Truths(tick=tick, time_s=tick / 2, agents=agents, bodies=bodies, contacts=contacts, is_over=bool(contacts))


def touch(me: Body, other: Body) -> bool:
    contact = Contact(me.name, other.name)
    return is_caused(contact, [truths(k, me, other) for k in range(3)] + [truths(3, me, other, contacts=(contact,))])


def test_running_into_a_car_ahead_is_caused() -> None:
    assert touch(CAR, replace(OTHER, x_m=6.0, speed_mps=2.0))


def test_running_into_a_standing_car_is_caused() -> None:
    assert touch(CAR, replace(OTHER, x_m=4.0, y_m=3.0, heading_rad=1.5, speed_mps=0.0, entered_s=0.0))


def test_being_hit_from_behind_is_excused() -> None:
    assert not touch(CAR, replace(OTHER, x_m=-5.5, speed_mps=8.0))


def test_being_hit_while_standing_for_a_second_is_excused() -> None:
    assert not touch(replace(CAR, speed_mps=0.3), replace(OTHER, y_m=-4.0, heading_rad=math.pi / 2, speed_mps=8.0))


def test_standing_only_at_the_last_moment_is_no_excuse() -> None:
    contact = Contact("car-1", "traffic-1")
    other = replace(OTHER, x_m=4.0, heading_rad=math.pi / 2, entered_s=0.1)
    history = [truths(k, replace(CAR, speed_mps=speed), other) for k, speed in enumerate((8.0, 4.0, 0.2))]
    assert is_caused(contact, [*history, truths(3, replace(CAR, speed_mps=0.1), other, contacts=(contact,))])


def test_creeping_up_to_a_standing_car_until_they_touch_is_caused() -> None:
    assert touch(replace(CAR, speed_mps=0.2), replace(OTHER, x_m=5.1, speed_mps=0.0, entered_s=0.1))


def test_being_reversed_into_is_excused() -> None:
    assert not touch(replace(CAR, speed_mps=1.0), replace(OTHER, x_m=5.5, speed_mps=-4.0))


def test_racing_into_a_slowly_reversing_car_is_caused() -> None:
    assert touch(CAR, replace(OTHER, x_m=5.5, speed_mps=-1.0))


def test_being_cut_off_in_the_box_with_right_of_way_is_excused() -> None:
    assert not touch(replace(CAR, priority=3), replace(OTHER, x_m=3.0, heading_rad=1.5, priority=1, entered_s=0.9))


def test_entering_after_the_other_is_caused_whatever_the_priority() -> None:
    assert touch(replace(CAR, priority=3), replace(OTHER, x_m=3.0, heading_rad=1.5, priority=1, entered_s=0.1))


def test_entering_just_before_a_car_with_right_of_way_is_caused() -> None:
    assert touch(CAR, replace(OTHER, x_m=3.0, heading_rad=1.5, entered_s=0.9))


def test_two_of_ours_are_never_excused_and_count_once() -> None:
    second = replace(CAR, name="car-2", x_m=-5.5, speed_mps=8.0)
    both = (Contact("car-1", "car-2"), Contact("car-2", "car-1"))
    found = measure([truths(0, CAR, second), truths(1, CAR, second, contacts=both)])
    assert (found.collisions, found.caused, found.near_misses) == (1, 1, 0)


def test_excused_contact_is_a_collision_and_not_caused() -> None:
    other = replace(OTHER, x_m=-5.5, speed_mps=8.0)
    found = measure([truths(0, CAR, other), truths(1, CAR, other, contacts=(Contact("car-1", "traffic-1"),))])
    assert (found.collisions, found.caused) == (1, 0)


def test_time_to_collision_of_two_cars_head_to_tail() -> None:
    ahead = replace(OTHER, x_m=15.0, speed_mps=0.0)
    # The discs of a car reach 1.302 m + 5/3 m from its centre, so the gap is 15 - 2 * 2.969 m.
    expected = (15.0 - 2 * (5 / 3 + math.hypot(5 / 6, 1.0))) / 5.0
    assert measure([truths(0, CAR, ahead)]).min_ttc_s == pytest.approx(expected)


def test_cars_that_part_have_no_time_to_collision() -> None:
    assert measure([truths(0, CAR, replace(OTHER, x_m=-9.0, speed_mps=1.0))]).min_ttc_s == math.inf


def test_passing_close_and_fast_is_a_near_miss_once() -> None:
    beside = replace(OTHER, y_m=2.9, speed_mps=-5.0)
    assert measure([truths(k, CAR, beside) for k in range(3)]).near_misses == 1


def test_arrivals_and_speed_are_counted_over_our_own() -> None:
    found = measure([truths(0, CAR, OTHER), truths(1, CAR, OTHER), truths(2, CAR, OTHER, has_arrived=True)])
    assert (found.arrivals, found.mean_speed_mps, found.ticks, found.agents) == (1, 5.0, 2, 1)


def test_measure_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected the truths of an episode"):
        measure([])
