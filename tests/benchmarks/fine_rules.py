"""A synthetic rule set beyond enumeration: decimals on fine grids, sums over fields, and rules that clash."""

from __future__ import annotations

from random import Random
from typing import Any

from symbolic import Action, RuleSet, State, fields, fixed, whole


class Cruising(State):
    """What a car perceives, in tenths."""

    v: float = fixed(ge=0, le=60, step=0.1)
    gap: float = fixed(ge=0, le=200, step=0.1)
    behind: float = fixed(ge=0, le=200, step=0.1)
    grip: float = fixed(ge=0, le=1, step=0.01)


class Push(Action):
    """Thirteen accelerations."""

    acceleration: int = whole(ge=-8, le=4)


def fine_rules(count: int, seed: int = 0) -> RuleSet[Cruising, Push]:
    """A set of `count` rules: two of three limit speeding up, the third braking, so that some states are stuck."""
    rng = Random(seed)
    rules = RuleSet(Cruising, Push)
    for place in range(count):
        rules.add(kind="forbid", name=f"rule_{place}", priority=place % 101, expression=_body(place % 3, rng))
    return rules


def _body(shape: int, rng: Random) -> Any:
    s, a = fields(Cruising), fields(Push)
    large, small = rng.randint(50, 600) / 10, rng.randint(-6, 3)
    match shape:
        case 0:
            return (s.gap * 2 < s.v - large + s.grip * 10) & (a.acceleration > small)
        case 1:
            return (s.v + a.acceleration * 2 > large + s.gap) & (a.acceleration > small)
        case _:
            return (s.behind < large / 10) & (s.v > s.behind * 3 + large) & (a.acceleration < small)
