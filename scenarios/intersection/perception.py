"""What a car perceives of the crossing: from the poses of all that it can see to the few fields of its `Car` state.

Everything here can be sensed from outside: positions, speeds, headings, turn signals. No plan of another car is read.
Room is counted down and saturates at the top of its field ("40 or more"), so rounding errs on the safe side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from agents.messaging.claims import Claim, heard_of
from scenarios.intersection.geometry import (
    CLEARANCE_M,
    DISC_RADIUS_M,
    SPACING_M,
    STOP_LINE_M,
    Geometry,
    Path,
    Points,
    Zone,
)
from scenarios.intersection.rules import Car
from symbolic import Facts, FieldSpec, admit, domain_of, perceived

CRUISE_MPS, CREEP_MPS = 9.0, 4.5
"""The two set speeds above standstill (highway-env's default target speeds)."""
RESPONSE_S = 0.6
"""Time constant of highway-env's speed controller."""
FRAME_S = 1 / 15
"""highway-env's default simulation step."""
SIGHT_M = 65.0
"""Nothing farther is perceived, along either axis."""
LEAD_BRAKING_MPS2 = 6.0
"""Hardest braking expected of a vehicle ahead."""
TRAFFIC_ACCELERATION_MPS2, TRAFFIC_TOP_MPS = 4.0, 10.0
"""How fast other traffic is expected to come at most: for its earliest arrival."""
WRECK_SLIDE_S = 1.0
"""A wreck slides on for its speed times this: highway-env lets it brake by its own speed each second."""
STANDSTILL_MPS = 0.3
"""Slower than this, a crossing vehicle is not expected to clear its stretch."""
MISSED_M = 0.5
"""A waiting point overrun by more than this can no longer be kept."""
TIGHT_S = 1.0
"""A crossing with less time between the two cars is one to look at first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One vehicle as it can be seen from outside."""

    agent: str | None
    """Name of the fleet car, told by its livery; None for other traffic."""
    number: int
    """Number on its livery, from 1; 0 for other traffic."""
    path: Path
    """Its approach and turn signal give its movement."""
    sample: int
    """Nearest sample of its path."""
    x_m: float
    y_m: float
    heading_rad: float
    speed_mps: float
    """Negative in reverse."""
    discs: Points
    has_crashed: bool

    @property
    def s_m(self) -> float:
        """Distance along its path."""
        return self.sample * SPACING_M


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """The first body in the way along a car's own path."""

    gap_m: float
    """Free distance to it."""
    speed_mps: float
    """Its speed along the path; negative when it comes closer by itself."""
    braking_m: float
    """Distance that it needs to stop at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """One vehicle whose path shares a stretch with a car's own."""

    seen: Seen
    gap_s: float
    """Time between the one leaving the stretch and the other entering it, if the car drives on; negative: overlap."""
    room_m: float
    """Distance from where the car could stand to the stretch."""
    has_way: bool
    """The other is bound to give way and still can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Percept:
    """Measured values before they are put on the grid of the state."""

    speed_mps: float
    follow_room_m: float
    collision_s: float
    stop_room_m: float
    crossing_gap_s: float
    must_yield: bool
    in_box: bool
    exit_room_m: float
    crossing_agent: str | None
    """The fleet car that matters most at the crossing, whose claims belong in the state."""


def perceive(me: Seen, others: Sequence[Seen], geometry: Geometry, step_s: float) -> Percept:
    """What the car `me` perceives of the `others`."""
    near = [o for o in others if abs(o.x_m - me.x_m) < SIGHT_M and abs(o.y_m - me.y_m) < SIGHT_M]
    lead = lead_of(me, near)
    braking_m = braking(me.speed_mps, step_s)
    crossings = [c for o in near if (c := crossing_of(me, o, geometry, step_s)) is not None]
    critical = most_critical(crossings)
    closing_mps = me.speed_mps - (lead.speed_mps if lead else 0.0)
    return Percept(
        speed_mps=max(0.0, me.speed_mps),
        follow_room_m=lead.gap_m + lead.braking_m - braking_m if lead else math.inf,
        collision_s=lead.gap_m / closing_mps if lead and closing_mps > 0.1 else math.inf,
        stop_room_m=_stop_room(me, crossings, braking_m),
        crossing_gap_s=max(0.0, critical.gap_s) if critical else math.inf,
        must_yield=critical is not None and not critical.has_way,
        in_box=STOP_LINE_M < me.s_m < me.path.end_m + 2.5,
        exit_room_m=exit_room(me, near),
        crossing_agent=critical.seen.agent if critical else None,
    )


def facts_of(percept: Percept, told: Claim | None, told_age_s: float = 0.0) -> Facts:
    """The state of a car on its grid: rooms and times rounded down, the speed to the nearest point.

    `told` is what the crossing car claims, `told_age_s` seconds ago.
    """
    fields = domain_of(Car)
    seen = perceived(
        Car,
        speed_mps=_down(percept.speed_mps + 0.25, fields.field("speed_mps")),
        follow_room_m=_down(percept.follow_room_m, fields.field("follow_room_m")),
        collision_s=_down(percept.collision_s, fields.field("collision_s")),
        stop_room_m=_down(percept.stop_room_m, fields.field("stop_room_m")),
        crossing_gap_s=_down(percept.crossing_gap_s, fields.field("crossing_gap_s")),
        must_yield=percept.must_yield,
        in_box=percept.in_box,
        exit_room_m=_down(percept.exit_room_m, fields.field("exit_room_m")),
    )
    names = {"other_intent": "intent", "other_has_way": "right_of_way"}
    return admit(seen, heard_of(told, names, role="car", age_s=told_age_s)).facts


def _down(value: float, spec: FieldSpec) -> float:
    """Next grid point below; the ends of the range mean `or less` and `or more`."""
    if value >= spec.decode(spec.high):  # type: ignore[operator]
        return float(spec.decode(spec.high))
    code = math.floor(value * spec.denominator / spec.numerator + 1e-9)
    return float(spec.decode(max(spec.low, code)))


def lead_of(me: Seen, others: Sequence[Seen]) -> Lead | None:
    """The first body that stands or moves in the way ahead, whatever its own path."""
    ahead = me.path.discs[me.sample : me.sample + 140]
    best: Lead | None = None
    for other in others:
        is_behind = other.path.movement[0] == me.path.movement[0] and other.s_m < me.s_m and other.s_m < STOP_LINE_M
        if is_behind or (hit := _first_touch(ahead, _swept(other))) is None:
            continue
        place = min(me.sample + hit, len(me.path.headings) - 1)
        turn = other.heading_rad - me.path.headings[place]
        along_mps = 0.0 if other.has_crashed else other.speed_mps * math.cos(turn)
        gap_m = max(0.0, hit * SPACING_M + min(0.0, along_mps))
        if best is None or gap_m < best.gap_m:
            braking_m = max(0.0, along_mps) ** 2 / (2 * LEAD_BRAKING_MPS2)
            best = Lead(gap_m=gap_m, speed_mps=along_mps, braking_m=braking_m)
    return best


def exit_room(me: Seen, others: Sequence[Seen]) -> float:
    """Free distance behind the junction on the car's own exit, up to the first body there; infinite if it is free."""
    start = round(me.path.end_m / SPACING_M)
    behind = me.path.discs[max(me.sample, start) : start + 80]
    touches = [_first_touch(behind, _swept(o)) for o in others if o.has_crashed or o.speed_mps < CREEP_MPS]
    return min((hit * SPACING_M for hit in touches if hit is not None), default=math.inf)


def _swept(seen: Seen) -> Points:
    """Where a vehicle is; for a wreck also where it will slide, for a car must not wait until it lies in the way."""
    if not seen.has_crashed:
        return seen.discs
    direction = np.array([math.cos(seen.heading_rad), math.sin(seen.heading_rad)])
    slides = np.linspace(0.0, seen.speed_mps * WRECK_SLIDE_S, 4)
    swept: Points = (seen.discs[None, :, :] + slides[:, None, None] * direction).reshape(-1, 2)
    return swept


def _first_touch(ahead: Points, discs: Points) -> int | None:
    gaps = ahead[:, :, None, :] - discs
    touching = ((gaps * gaps).sum(axis=-1) < (2 * DISC_RADIUS_M + CLEARANCE_M) ** 2).any(axis=(1, 2))
    first = int(touching.argmax()) if len(touching) else 0
    return first if len(touching) and touching[first] else None


def crossing_of(me: Seen, other: Seen, geometry: Geometry, step_s: float) -> Crossing | None:
    """How the other's way meets the car's own; None where they never do or one of them is through."""
    zone = geometry.zones.get((me.path.movement, other.path.movement))
    if zone is None or other.has_crashed or me.s_m >= zone.leave_m or other.s_m >= zone.other_leave_m:
        return None
    can_stop = other.agent is not None and other.s_m + braking(other.speed_mps, step_s) < zone.other_enter_m - MISSED_M
    return Crossing(
        seen=other,
        gap_s=_gap(me, other, zone, can_stop=can_stop),
        room_m=zone.enter_m - me.s_m - braking(me.speed_mps, step_s),
        has_way=can_stop and rank(me) > rank(other),
    )


def rank(seen: Seen) -> tuple[int, int]:
    """Order of right of way in the fleet: by lane priority, then the lower number, so that no two cars are equal."""
    return seen.path.priority, -seen.number


def _gap(me: Seen, other: Seen, zone: Zone, *, can_stop: bool) -> float:
    enter_s, leave_s = (cruise_time(me.speed_mps, at - me.s_m) for at in (zone.enter_m, zone.leave_m))
    to_enter_m, to_leave_m = zone.other_enter_m - other.s_m, zone.other_leave_m - other.s_m
    if other.agent is None:
        arrival_s = sprint_time(other.speed_mps, to_enter_m)
    else:
        arrival_s = cruise_time(other.speed_mps, to_enter_m)
    # A fleet car that can still stop may do so for reasons of its own: then it clears its stretch at no known time.
    clear_s = math.inf if can_stop else max(0.0, to_leave_m) / max(other.speed_mps, STANDSTILL_MPS)
    return max(arrival_s - leave_s, enter_s - clear_s)


def most_critical(crossings: Sequence[Crossing]) -> Crossing | None:
    """The tightest crossing to give way at; where none of them is tight, the tightest of all."""
    yielding = min((c for c in crossings if not c.has_way), key=lambda c: c.gap_s, default=None)
    if yielding is not None and yielding.gap_s < TIGHT_S:
        return yielding
    return min(crossings, key=lambda c: c.gap_s, default=None)


def _stop_room(me: Seen, crossings: Sequence[Crossing], braking_m: float) -> float:
    """Distance from where the car could stand to the first point where it may have to wait and still can.

    Before the junction that is the stop line; inside, or past stopping there, the first shared stretch ahead.
    """
    rooms = [STOP_LINE_M - me.s_m - braking_m, *(c.room_m for c in crossings)]
    return max(0.0, min((room for room in rooms if room > -MISSED_M), default=math.inf))


@lru_cache(maxsize=4096)
def _braking(speed_tenths: int, frames: int) -> float:
    speed, distance = speed_tenths / 10, 0.0
    while speed > STANDSTILL_MPS:
        target = max(0, min(2, round(speed / CREEP_MPS)) - 1) * CREEP_MPS
        for _ in range(frames):
            distance += speed * FRAME_S
            speed += (target - speed) / RESPONSE_S * FRAME_S
    return distance


def braking(speed_mps: float, step_s: float) -> float:
    """Distance to a stand when every decision from now on is `slow`, in metres."""
    return _braking(math.ceil(max(0.0, speed_mps) * 10), round(step_s / FRAME_S))


def cruise_time(speed_mps: float, distance_m: float) -> float:
    """Time that a fleet car needs for a distance when it goes for cruising speed, in seconds (Newton's method)."""
    if distance_m <= 0:
        return 0.0
    time, excess = distance_m / CRUISE_MPS, speed_mps - CRUISE_MPS
    for _ in range(8):
        decay = math.exp(-time / RESPONSE_S)
        distance = CRUISE_MPS * time + excess * RESPONSE_S * (1 - decay)
        time = max(0.0, time - (distance - distance_m) / max(CRUISE_MPS + excess * decay, STANDSTILL_MPS))
    return time


def sprint_time(speed_mps: float, distance_m: float) -> float:
    """Shortest time in which other traffic is expected to cover a distance, in seconds."""
    if distance_m <= 0:
        return 0.0
    speed = min(max(0.0, speed_mps), TRAFFIC_TOP_MPS)
    if speed_mps >= TRAFFIC_TOP_MPS:
        return distance_m / speed_mps
    run_up_s = (TRAFFIC_TOP_MPS - speed) / TRAFFIC_ACCELERATION_MPS2
    run_up_m = (TRAFFIC_TOP_MPS + speed) / 2 * run_up_s
    if distance_m > run_up_m:
        return run_up_s + (distance_m - run_up_m) / TRAFFIC_TOP_MPS
    return (math.sqrt(speed**2 + 2 * TRAFFIC_ACCELERATION_MPS2 * distance_m) - speed) / TRAFFIC_ACCELERATION_MPS2
