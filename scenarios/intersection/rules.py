"""What a car at the crossing perceives and may do, and the eight rules of the road that it must keep.

Distances to be kept are counted from where the car could stand if it braked now, so one comparison says whether
there is room for one more decision. `keep` covers 3 m at cruising speed in one step, `fast` up to 6 m of room.
"""

from __future__ import annotations

from typing import Literal

from symbolic import Action, RuleSet, State, claimed, fixed, negate


class Car(State):
    """What one car perceives; the two `other_` fields are claims and may be false."""

    speed_mps: float = fixed(ge=0, le=12, step=0.5)
    """Own speed."""
    follow_room_m: float = fixed(ge=0, le=40, step=0.5)
    """Distance left to the first body in the way if both brake now; 40 or more where none is near."""
    collision_s: float = fixed(ge=0, le=8, step=0.5)
    """Time to collision with that body at present speeds; 8 or more where it does not come closer."""
    stop_room_m: float = fixed(ge=0, le=40, step=0.5)
    """Distance from where the car could stand to its next waiting point: stop line, or shared stretch in the box."""
    crossing_gap_s: float = fixed(ge=0, le=8, step=0.2)
    """Time between this car and the most critical crossing vehicle on their shared stretch; 0 if they would meet."""
    must_yield: bool
    """That vehicle has right of way, can no longer stop, or is no fleet car; false where there is none."""
    in_box: bool
    """The car is inside the junction."""
    exit_room_m: float = fixed(ge=0, le=20, step=0.5)
    """Free length of the own exit behind the junction, up to the first slow or standing body."""
    other_intent: Literal["silent", "yield", "go"] = claimed(by="car", silent="silent")
    """What the most critical crossing vehicle announces; silent without a message."""
    other_has_way: bool = claimed(by="car", silent=False)
    """It announces that it is in the box and on its way; false without a message."""


class Drive(Action):
    """One decision about the set speed: 0, 4.5 or 9 m/s."""

    pace: Literal["slow", "keep", "fast"]
    """One set speed down, as it is, one up."""


rules = RuleSet(Car, Drive)


def _runs_out(room_m: float, a: Drive, *, keep: float, fast: float) -> bool:
    """Too little room for the decision: `keep` and `fast` are the metres that each needs."""
    return ((a.pace == "keep") & (room_m < keep)) | ((a.pace == "fast") & (room_m < fast))


@rules.forbid(priority=95, source="StVO 8, give way")
def give_way(s: Car, a: Drive) -> bool:
    """Do not drive on into a crossing vehicle's way without right of way."""
    return s.must_yield & (s.crossing_gap_s < 0.8) & _runs_out(s.stop_room_m, a, keep=4.5, fast=7.5)


@rules.forbid(priority=90, source="StVO 4(1), distance; Shalev-Shwartz et al. 2017, RSS")
def keep_distance(s: Car, a: Drive) -> bool:
    """Keep the distance from which braking still helps."""
    return _runs_out(s.follow_room_m, a, keep=4.5, fast=7.5)


@rules.forbid(priority=85, source="StVO 1(2), mutual consideration")
def heed_intent(s: Car, a: Drive) -> bool:
    """Do not contest a crossing that another car announces to enter."""
    return (s.other_intent == "go") & (s.crossing_gap_s < 1.0) & _runs_out(s.stop_room_m, a, keep=4.5, fast=7.5)


@rules.forbid(priority=80, source="StVO 11(1), keep the junction clear")
def keep_box_clear(s: Car, a: Drive) -> bool:
    """Do not enter the junction without room to leave it."""
    return negate(s.in_box) & (s.exit_room_m < 7) & _runs_out(s.stop_room_m, a, keep=4.5, fast=7.5)


@rules.forbid(priority=75, source="StVO 8, give way")
def yield_to_claimed_way(s: Car, a: Drive) -> bool:
    """Do not speed up towards a car that claims to be in the junction."""
    return s.other_has_way & (s.crossing_gap_s < 1.2) & (s.stop_room_m < 7.5) & (a.pace == "fast")


@rules.forbid(priority=70, source="ISO 15623, time to collision")
def time_to_collision(s: Car, a: Drive) -> bool:
    """Do not speed up towards a near collision."""
    return (s.collision_s < 3) & (a.pace == "fast")


@rules.forbid(priority=60, source="StVO 3(3), speed limit")
def speed_limit(s: Car, a: Drive) -> bool:
    """Do not speed up beyond the limit."""
    return (s.speed_mps > 9) & (a.pace == "fast")


@rules.forbid(priority=50, source="StVO 11(1), keep the junction clear")
def leave_box(s: Car, a: Drive) -> bool:
    """Do not slow down in the junction while the way is free."""
    return s.in_box & (s.follow_room_m >= 10) & (s.stop_room_m >= 10) & (a.pace == "slow")
