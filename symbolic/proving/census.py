"""A count of what rules do at many points, all of them where they are few: what was seen need not be asked.

Every statement of the load-time report is about points (state, action). That something can be is mostly seen here, by
the array reading; what was not seen is asked (`prover.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Final

import numpy
from numpy.typing import NDArray

from symbolic.domain import codes_of, domain_of
from symbolic.expression import Expr, Owner, reads
from symbolic.field import FieldSpec, Kind
from symbolic.reading.batch import batch, condition
from symbolic.solving.question import Codes, Point

if TYPE_CHECKING:
    from symbolic.rule import Rule
    from symbolic.rules import RuleSet

COMPLETE: Final = 10_000_000
"""Most points that are all visited to show that there is none of a kind."""

SAMPLE: Final = 100_000
"""Points (states times actions) that are visited; all, where there are no more."""

CHUNK: Final = 1 << 14
"""States in one go."""

MOST_STUCK: Final = 64
"""Stuck states that are remembered."""


@dataclass(slots=True, kw_only=True)
class Census:
    """What was seen. States are codes of all fields; fields that no rule reads stand at their lowest."""

    is_complete: bool = False
    """Whether every point was visited, up to fields that no rule reads."""
    num_points: int = 0
    safe: Point | None = None
    """A point without a violation."""
    stuck: list[Codes] = field(default_factory=list)
    """States in which every action breaks a rule; where every point was visited, the first by codes comes first."""
    broken: dict[int, Point] = field(default_factory=dict)
    """Rule -> a point that breaks it."""
    alone: dict[int, Point] = field(default_factory=dict)
    """Rule -> a point that breaks it and no other rule."""
    inside: dict[int, Point] = field(default_factory=dict)
    """Rule -> a point that breaks it where no number that it reads (`inner`) stands at an end of its range."""
    crowded: dict[int, list[Point]] = field(default_factory=dict)
    """Rule that was not seen alone -> points that break it, with as few other rules as were seen."""


def inner(rule: Rule) -> list[int]:
    """Places of the numbers of the state that a rule reads and that can have more than two values."""
    fields = [read.field for read in rule.reads if read.owner is Owner.STATE]
    return [one.index for one in fields if one.kind is Kind.NUMBER and one.high - one.low > 1]


def census(
    ruleset: RuleSet[Any, Any], *, assumption: Expr | None = None, sample: int = SAMPLE, seed: int = 0
) -> Census:
    """Visit points of the declared domain.

    Args:
        ruleset: the rules; every one of them fits the array reading.
        assumption: states where it does not hold are passed over.
        sample: most points; corners of the ranges are among them where not all are visited.
        seed: of the sample.

    Raises:
        BatchError: a rule computes numbers beyond 64 bits.
    """
    is_complete, chunks = visits(ruleset, assumption=assumption, complete=sample, sample=sample, seed=seed)
    counter = _Counter(ruleset, domain_of(ruleset.state).fields, [codes_of(action) for action in ruleset.actions])
    for states in chunks:
        counter.count(states)
    found = counter.found
    found.is_complete = is_complete
    found.crowded = {rule: seen for rule, seen in found.crowded.items() if rule not in found.alone}
    return found


def visits(
    ruleset: RuleSet[Any, Any],
    *,
    assumption: Expr | None = None,
    complete: int = COMPLETE,
    sample: int = SAMPLE,
    seed: int = 0,
) -> tuple[bool, Iterator[NDArray[Any]]]:
    """Whether all states are visited, up to fields that no rule reads, and their codes in chunks (n, field)."""
    taken = [*(reads(assumption) if assumption else ()), *(one for rule in ruleset.rules for one in rule.reads)]
    read = {one.field.index for one in taken if one.owner is Owner.STATE}
    fields = domain_of(ruleset.state).fields
    spans = [(one.low, one.high if one.index in read else one.low) for one in fields]
    total = math.prod(high - low + 1 for low, high in spans)
    is_complete = total * len(ruleset.actions) <= complete
    if is_complete:
        chunks = (_grid(spans, start, min(start + CHUNK, total)) for start in range(0, total, CHUNK))
    else:
        chunks = (one for one in [_drawn(spans, max(1, sample // len(ruleset.actions)), Random(seed))])
    if assumption is not None:
        chunks = (left for states in chunks if len(left := states[_holds(assumption, states)]))
    return is_complete, chunks


class _Counter:
    """Counts chunk after chunk."""

    def __init__(self, ruleset: RuleSet[Any, Any], fields: Sequence[FieldSpec], actions: list[Codes]) -> None:
        self.violated, self.actions, self.found = batch(ruleset), actions, Census()
        self.ends = numpy.array([[one.low, one.high] for one in fields]).T
        groups: dict[tuple[int, ...], list[int]] = {}
        for place, rule in enumerate(ruleset.rules):
            groups.setdefault(tuple(inner(rule)), []).append(place)
        self.groups = groups

    def count(self, states: NDArray[Any]) -> None:
        """Look at all actions in some states."""
        is_stuck = numpy.ones(len(states), dtype=bool)
        is_inner = (self.ends[0] < states) & (states < self.ends[1])
        inners = {fields: is_inner[:, fields].all(1) for fields in self.groups if fields}
        found = self.found
        for action in self.actions:
            broken = self.violated(states, numpy.array(action))
            count = broken.sum(1, dtype=numpy.uint16)
            if found.safe is None and (count == 0).any():
                found.safe = Point(_codes(states, int(numpy.argmax(count == 0))), action)
            is_stuck &= count > 0
            self._fewest(states, action, broken, count)
            self._inside(states, action, broken, inners)
        found.num_points += len(states) * len(self.actions)
        places = numpy.flatnonzero(is_stuck)[: MOST_STUCK - len(found.stuck)]
        found.stuck += [_codes(states, int(place)) for place in places]

    def _fewest(self, states: NDArray[Any], action: Codes, broken: NDArray[Any], count: NDArray[Any]) -> None:
        """Note for each rule where it is broken beside the fewest others."""
        found, most = self.found, numpy.iinfo(count.dtype).max
        others = numpy.where(broken, count[:, None], most)
        best = others.argmin(0)
        fewest = others[best, numpy.arange(others.shape[1])]
        for rule in numpy.flatnonzero(fewest < most).tolist():
            if rule in found.alone:
                continue
            point = Point(_codes(states, int(best[rule])), action)
            found.broken.setdefault(rule, point)
            if fewest[rule] == 1:
                found.alone[rule] = point
            else:
                found.crowded.setdefault(rule, []).append(point)

    def _inside(
        self,
        states: NDArray[Any],
        action: Codes,
        broken: NDArray[Any],
        inners: dict[tuple[int, ...], NDArray[Any]],
    ) -> None:
        for fields, is_inner in inners.items():
            left = [rule for rule in self.groups[fields] if rule not in self.found.inside]
            if not left:
                continue
            hits = broken[:, left] & is_inner[:, None]
            for place in numpy.flatnonzero(hits.any(0)).tolist():
                state = _codes(states, int(numpy.argmax(hits[:, place])))
                self.found.inside[left[place]] = Point(state, action)


def _holds(assumption: Expr, states: NDArray[Any]) -> NDArray[Any]:
    columns = [column.astype(numpy.int64) for column in states.T]
    found: NDArray[Any] = numpy.broadcast_to(condition(assumption)(numpy, numpy.int64, columns, []), (len(states),))
    return found


def _codes(states: NDArray[Any], place: int) -> Codes:
    return tuple(states[place].tolist())


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
