"""A count of what rules do at many points, all of them where they are few: it finds witnesses, and tests every proof.

Every statement of the load-time report is about points (state, action). The solver proves, the census counts by the
array reading, and the two must agree: a proof that something never happens, which the census has seen, is a fault of
ours. Where the census is complete it needs no solver.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Final

import numpy
from numpy.typing import NDArray

from symbolic.domain import codes_of
from symbolic.expression import Owner
from symbolic.reading.batch import batch
from symbolic.reading.compiled import Codes

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

COMPLETE: Final = 10_000_000
"""Most points (states times actions) that are all visited."""

SAMPLE: Final = 100_000
"""Points visited where there are more."""

CHUNK: Final = 1 << 14
"""States in one go."""


@dataclass(slots=True, kw_only=True)
class Census:
    """What was seen. States are codes of all fields; fields that no rule reads stand at their lowest."""

    is_complete: bool
    """Whether every point was visited, up to fields that no rule reads."""
    num_states: int = 0
    num_actions: int = 0
    safe: tuple[Codes, Codes] | None = None
    """A point without a violation."""
    stuck: Codes | None = None
    """The first state, by codes, in which every action breaks a rule."""
    broken: dict[int, tuple[Codes, Codes]] = field(default_factory=dict)
    """Rule -> a point that breaks it."""
    alone: dict[int, tuple[Codes, Codes]] = field(default_factory=dict)
    """Rule -> a point that breaks it and no other rule."""


def census(ruleset: RuleSet[Any, Any], *, complete: int = COMPLETE, sample: int = SAMPLE, seed: int = 0) -> Census:
    """Visit points of the declared domain.

    Args:
        ruleset: the rules; every one of them fits the array reading.
        complete: most points that are all visited.
        sample: else so many, corners of the ranges among them.
        seed: of the sample.

    Raises:
        BatchError: a rule computes numbers beyond 64 bits.
    """
    is_complete, chunks = visits(ruleset, complete=complete, sample=sample, seed=seed)
    found = Census(is_complete=is_complete, num_actions=len(ruleset.actions))
    actions = [codes_of(action) for action in ruleset.actions]
    violated = batch(ruleset)
    for states in chunks:
        _count(found, violated, states, actions)
    return found


def visits(
    ruleset: RuleSet[Any, Any], *, complete: int = COMPLETE, sample: int = SAMPLE, seed: int = 0
) -> tuple[bool, Iterator[NDArray[Any]]]:
    """Whether all states are visited, up to fields that no rule reads, and their codes in chunks (n, field)."""
    read = {one.field.index for rule in ruleset.rules for one in rule.reads if one.owner is Owner.STATE}
    spans = [(one.low, one.high if one.index in read else one.low) for one in ruleset.state.__domain__.fields]
    total = math.prod(high - low + 1 for low, high in spans)
    if total * len(ruleset.actions) > complete:
        return False, iter([_drawn(spans, max(1, sample // len(ruleset.actions)), Random(seed))])
    return True, (_grid(spans, start, min(start + CHUNK, total)) for start in range(0, total, CHUNK))


def _count(found: Census, violated: Any, states: NDArray[Any], actions: list[Codes]) -> None:
    is_stuck = numpy.ones(len(states), dtype=bool)
    for action in actions:
        broken: NDArray[Any] = violated(states, numpy.array(action))
        count = broken.sum(1)
        if found.safe is None and (count == 0).any():
            found.safe = _codes(states, count == 0), action
        is_stuck &= count > 0
        for rule in numpy.flatnonzero(broken.any(0)).tolist():
            found.broken.setdefault(rule, (_codes(states, broken[:, rule]), action))
        alone = broken & (count == 1)[:, None]
        for rule in numpy.flatnonzero(alone.any(0)).tolist():
            found.alone.setdefault(rule, (_codes(states, alone[:, rule]), action))
    found.num_states += len(states)
    if found.stuck is None and is_stuck.any():
        found.stuck = _codes(states, is_stuck)


def _codes(states: NDArray[Any], where: NDArray[Any]) -> Codes:
    """The first state where something holds."""
    return tuple(states[int(numpy.argmax(where))].tolist())


def _grid(spans: list[tuple[int, int]], start: int, stop: int) -> NDArray[Any]:
    """States number `start` to `stop` of all, the last field varying fastest."""
    sizes = [high - low + 1 for low, high in spans]
    places = numpy.unravel_index(numpy.arange(start, stop), sizes)
    return numpy.stack([place + low for place, (low, _) in zip(places, spans, strict=True)], axis=1)


def _drawn(spans: list[tuple[int, int]], count: int, rng: Random) -> NDArray[Any]:
    """States drawn at random: each code is an end of its range one time in four, since that is where rules err."""
    rows = [
        [rng.choice((low, high)) if rng.random() < 0.25 else rng.randint(low, high) for low, high in spans]
        for _ in range(count)
    ]
    return numpy.array(rows)
