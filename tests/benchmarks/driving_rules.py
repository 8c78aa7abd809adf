"""A synthetic rule set for benchmarks: five templates over six fields, as many rules as wanted."""

from __future__ import annotations

from random import Random
from typing import Any

from symbolic import Action, RuleSet, State, absolute, implies, whole


class Driving(State):
    """What a car perceives, in whole units."""

    v: int = whole(ge=0, le=60)
    gap: int = whole(ge=0, le=200)
    lane: int = whole(ge=0, le=3)
    rain: bool
    limit: int = whole(ge=5, le=60)


class Manoeuvre(Action):
    """At most 64 manoeuvres."""

    acceleration: int = whole(ge=-8, le=4)
    change: int = whole(ge=-1, le=1)


def driving_rules(count: int, seed: int = 0) -> RuleSet[Driving, Manoeuvre]:
    """A set of `count` rules, of five shapes in turn, with constants drawn from the seed."""
    rng = Random(seed)
    rules = RuleSet(Driving, Manoeuvre)
    for place in range(count):
        low, high = rng.randint(5, 60), rng.randint(-6, 3)
        rules.add(kind="forbid", name=f"rule_{place}", expression=_body(rules, place % 5, low, high))
    return rules


def _body(rules: RuleSet[Driving, Manoeuvre], shape: int, large: int, small: int) -> Any:
    from symbolic import fields

    s, a = fields(Driving), fields(Manoeuvre)
    match shape:
        case 0:
            return (s.gap * 2 < s.v - large) & (a.acceleration > small)
        case 1:
            return (s.v > s.limit + large) & (a.acceleration > small)
        case 2:
            return s.rain & (s.v > large) & (a.acceleration > small)
        case 3:
            return (absolute(a.change) == 1) & (s.gap < large) & (s.lane + a.change > 3)
        case _:
            return ~implies(s.v + a.acceleration * 2 > large + 40, a.acceleration <= small)
