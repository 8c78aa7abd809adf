"""What an episode came to, for the assessor: collisions and who caused them, near misses, arrivals, speed.

    measures = measure(history)          # the truths of one episode, one per step, the first from reset

**Collisions caused by us.** A contact of our body A with a body B counts as caused by us unless it is excused. It is
judged like a claim after an accident, on the last state before the touch, in the spirit of RSS (Shalev-Shwartz et al.
2017: do not hit from behind; right of way is given, not taken; blame goes to whoever did not respond properly). Two of
our own bodies are never excused. Otherwise A is excused if and only if one of these holds:

1. A stood: its speed was at most 0.5 m/s in each state of the last second before the touch, and B was faster than A.
2. B reversed: it drove backwards (below -0.1 m/s) before or at the touch, and A was not faster than B.
3. A was hit from behind: their headings differ by less than 60 degrees, and B's centre lay behind A's rear quarter
   (more than a quarter of A's length behind A's centre, along A's heading).
4. B took A's way: their headings differ by at least 30 degrees, A was in the crossing before B entered it (B entered
   later, or never was in it), and A's movement has the higher priority or A had entered at least 1 s before B.

So A pays for running into anything ahead, into anything that stands, for entering an occupied crossing, and for every
doubtful case.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scenarios.world import Body, Contact, Truths

STANDING_MPS: Final = 0.5
REVERSING_MPS: Final = -0.1
MEMORY_S: Final = 1.0
SAME_WAY_RAD: Final = math.radians(60)
CROSSING_RAD: Final = math.radians(30)
NEAR_MISS_S: Final = 0.5
"""A time to collision below this is a near miss; constant velocities overstate it for turning cars."""
NEAR_MISS_M: Final = 0.5
"""So is a gap below this with more than `NEAR_MISS_MPS` between the two."""
NEAR_MISS_MPS: Final = 1.0
RANGE_M: Final = 40.0
"""Bodies farther apart than this are not compared."""

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """One episode in numbers."""

    agents: int
    """How many took part."""
    collisions: int
    """Contacts in which a body of ours took part; two of ours that touch are one collision."""
    caused: int
    """Those of them that we caused (see the head of this file)."""
    near_misses: int
    """Pairs, one of them ours, that came close to colliding and did not."""
    min_ttc_s: float
    """Smallest time to collision of a body of ours at constant velocities; infinite where nothing came closer."""
    arrivals: int
    mean_speed_mps: float
    """Over all steps and all of ours that were still under way."""
    ticks: int
    time_s: float


def measure(history: Sequence[Truths]) -> Measures:
    """The measures of one episode.

    Args:
        history: its truths in order: after reset, then after each step.

    Raises:
        ValueError: an empty history.
    """
    if not history:
        raise ValueError("expected the truths of an episode, got none; keep one per step")
    last = history[-1]
    contacts = [(truths, contact) for truths in history for contact in truths.contacts]
    pairs = {frozenset((contact.agent, contact.other)) for _, contact in contacts}
    caused = {frozenset((c.agent, c.other)) for t, c in contacts if is_caused(c, history[: history.index(t) + 1])}
    approaches = [approach for truths in history for approach in _approaches(truths)]
    close = {frozenset(a.pair) for a in approaches if a.is_near_miss} - pairs
    speeds = [b.speed_mps for truths in history[1:] for b in truths.bodies if b.is_ours]
    return Measures(
        agents=len(last.agents),
        collisions=len(pairs),
        caused=len(caused),
        near_misses=len(close),
        min_ttc_s=min((a.ttc_s for a in approaches), default=math.inf),
        arrivals=sum(agent.has_arrived for agent in last.agents.values()),
        mean_speed_mps=float(np.mean(speeds)) if speeds else 0.0,
        ticks=last.tick,
        time_s=last.time_s,
    )


# Blame


def is_caused(contact: Contact, history: Sequence[Truths]) -> bool:
    """Whether the contact of the last truths in `history` is caused by its first body; see the head of this file."""
    now = history[-1]
    earlier = [truths for truths in history[:-1] if truths.time_s >= now.time_s - MEMORY_S - 1e-9] or [now]
    states = [_named(truths) for truths in earlier]
    mine = [state[contact.agent] for state in states if contact.agent in state]
    other = states[-1].get(contact.other) or _named(now).get(contact.other)
    if not mine or other is None or other.is_ours:
        return True
    at_touch = _named(now).get(contact.other, other)
    me = mine[-1]
    return not (
        _has_stood(mine, other, at_touch)
        or _has_reversed(me, other, at_touch)
        or _is_behind(me, other)
        or _took_the_way(me, at_touch)
    )


def _named(truths: Truths) -> Mapping[str, Body]:
    return MappingProxyType({body.name: body for body in truths.bodies})


def _has_stood(mine: Sequence[Body], other: Body, at_touch: Body) -> bool:
    is_still = all(abs(body.speed_mps) <= STANDING_MPS for body in mine)
    return is_still and max(abs(other.speed_mps), abs(at_touch.speed_mps)) > abs(mine[-1].speed_mps)


def _has_reversed(me: Body, other: Body, at_touch: Body) -> bool:
    backwards = min(other.speed_mps, at_touch.speed_mps)
    return backwards < REVERSING_MPS and abs(me.speed_mps) <= abs(backwards)


def _is_behind(me: Body, other: Body) -> bool:
    ahead_m = (other.x_m - me.x_m) * math.cos(me.heading_rad) + (other.y_m - me.y_m) * math.sin(me.heading_rad)
    return _turn(me, other) < SAME_WAY_RAD and ahead_m < -me.length_m / 4


def _turn(me: Body, other: Body) -> float:
    return abs(math.remainder(other.heading_rad - me.heading_rad, 2 * math.pi))


def _took_the_way(me: Body, other: Body) -> bool:
    if me.entered_s is None or _turn(me, other) < CROSSING_RAD:
        return False
    later_s = math.inf if other.entered_s is None else other.entered_s - me.entered_s
    return later_s > 0 and (me.priority > other.priority or later_s >= MEMORY_S)


# Closeness


@dataclass(frozen=True, slots=True)
class _Approach:
    pair: tuple[str, str]
    ttc_s: float
    is_near_miss: bool


def _approaches(truths: Truths) -> list[_Approach]:
    """Every pair with one of ours that is within range."""
    found = []
    ours = [body for body in truths.bodies if body.is_ours]
    for me in ours:
        for other in truths.bodies:
            is_new = other.name != me.name and not (other.is_ours and other.name < me.name)
            if is_new and math.hypot(other.x_m - me.x_m, other.y_m - me.y_m) < RANGE_M:
                found.append(_approach(me, other))
    return found


def _approach(me: Body, other: Body) -> _Approach:
    """Time to collision and gap of two bodies, each covered by three discs."""
    apart = (_discs(other)[None, :, :] - _discs(me)[:, None, :]).reshape(-1, 2)
    motion = _velocity(other) - _velocity(me)
    reach = _radius(me) + _radius(other)
    ttc_s = _first_touch(apart, motion, reach)
    gap_m = float(np.sqrt((apart * apart).sum(axis=1)).min()) - reach
    is_close = gap_m < NEAR_MISS_M and float(np.hypot(*motion)) > NEAR_MISS_MPS
    return _Approach((me.name, other.name), ttc_s, ttc_s < NEAR_MISS_S or is_close)


def _first_touch(apart: Points, motion: Points, reach: float) -> float:
    """Smallest t >= 0 with |apart + motion t| = reach over all pairs of discs; infinite if there is none."""
    square = float(motion @ motion)
    distance = (apart * apart).sum(axis=1) - reach * reach
    if (distance <= 0).any():
        return 0.0
    along = apart @ motion
    under = along * along - square * distance
    hits = (along < 0) & (under >= 0)
    if square == 0.0 or not hits.any():
        return math.inf
    return float(((-along[hits] - np.sqrt(under[hits])) / square).min())


def _velocity(body: Body) -> Points:
    return body.speed_mps * np.array([math.cos(body.heading_rad), math.sin(body.heading_rad)])


def _discs(body: Body) -> Points:
    along = np.array([-body.length_m / 3, 0.0, body.length_m / 3])
    direction = np.array([math.cos(body.heading_rad), math.sin(body.heading_rad)])
    centres: Points = np.array([body.x_m, body.y_m]) + along[:, None] * direction
    return centres


def _radius(body: Body) -> float:
    return math.hypot(body.length_m / 6, body.width_m / 2)
