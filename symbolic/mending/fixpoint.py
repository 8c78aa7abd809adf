"""The round in which each state of a grid is lost, over arrays: what `invariant.py` defines, for millions of points."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy
from numpy.typing import NDArray

from symbolic.domain import codes_of, domain_of
from symbolic.mending.transition import Grid, Transition
from symbolic.reading.batch import Batch, batch, compile_value
from symbolic.reading.compiled import Codes

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

CHUNK: Final = 1 << 16
"""States in one go."""

INSIDE: Final = -1
"""The round of a state that is never lost."""

IMPOSSIBLE: Final = -2
"""The round of a state that contradicts what a set remembers (`RuleSet.assumption`): nothing leads there."""

Spans = tuple[tuple[int, int], ...]


@dataclass(slots=True)
class Ways:
    """The states in which one action is still a way to go, and where it may lead from each."""

    states: NDArray[Any]
    """Flat places (n,)."""
    first: NDArray[Any]
    """Flat places (n,) of the first state that it may lead to."""
    extents: dict[int, NDArray[Any]]
    """Axis -> how many places further it may lead (n,); for axes on which that is not always 0."""

    @property
    def sizes(self) -> NDArray[Any]:
        """How many states it may lead to (n,)."""
        found = numpy.ones(len(self.first), dtype=numpy.int64)
        for extent in self.extents.values():
            found *= extent + 1
        return found

    def keep(self, is_kept: NDArray[numpy.bool_]) -> None:
        """Leave out the others."""
        self.states, self.first = self.states[is_kept], self.first[is_kept]
        self.extents = {axis: extent[is_kept] for axis, extent in self.extents.items()}


def rounds_lost(
    ruleset: RuleSet[Any, Any], transition: Transition, spans: Spans
) -> tuple[NDArray[numpy.int32], NDArray[numpy.bool_]]:
    """For each state of a grid the round in which it is lost, or `INSIDE`, and whether some action is safe in it now.

    Args:
        ruleset: the rules.
        transition: the model of one step.
        spans: lowest and highest code of each field, one axis each.
    """
    sizes = tuple(high - low + 1 for low, high in spans)
    is_calm, violated = numpy.zeros(math.prod(sizes), dtype=bool), batch(ruleset)
    every = [_ways(violated, transition, spans, codes_of(action), is_calm) for action in ruleset.actions]
    is_possible = _possible(ruleset, spans)
    is_calm &= is_possible
    sums = Sums(sizes, sorted({axis for ways in every for axis in ways.extents}))
    for ways in every:
        ways.first = sums.moved(ways.first)
    if not is_possible.all():
        never = sums.of(~is_possible)
        for ways in every:  # a model that leads to impossible states alone says nothing of where it leads
            ways.keep(sums.counts(never, ways) < ways.sizes)
    rounds = numpy.where(_are_left(every, len(is_calm)), numpy.int32(INSIDE), numpy.int32(0))
    rounds[~is_possible] = IMPOSSIBLE
    for number in itertools.count(1):
        lost = sums.of(rounds >= 0)
        for ways in every:
            ways.keep(sums.counts(lost, ways) == 0)
        is_new = (rounds == INSIDE) & ~_are_left(every, len(is_calm))
        if not is_new.any():
            break
        rounds[is_new] = number
    return rounds.reshape(sizes), is_calm.reshape(sizes)


def _are_left(every: list[Ways], count: int) -> NDArray[numpy.bool_]:
    """States with some way to go."""
    is_left = numpy.zeros(count, dtype=bool)
    for ways in every:
        is_left[ways.states] = True
    return is_left


def _possible(ruleset: RuleSet[Any, Any], spans: Spans) -> NDArray[numpy.bool_]:
    """Which states do not contradict what the set remembers, flat."""
    sizes = tuple(high - low + 1 for low, high in spans)
    found: NDArray[numpy.bool_] = numpy.ones(math.prod(sizes), dtype=bool)
    if ruleset.assumption is not None:
        holds, _ = compile_value(ruleset.assumption)
        for start in range(0, len(found), CHUNK):
            places = numpy.arange(start, min(start + CHUNK, len(found)))
            found[places] = holds(_codes(places, spans), ())
    return found


def _codes(places: NDArray[Any], spans: Spans) -> Grid:
    """Codes (n, field) of the states at some flat places."""
    sizes = tuple(high - low + 1 for low, high in spans)
    found: Grid = numpy.stack(numpy.unravel_index(places, sizes), axis=1).astype(numpy.int64)
    found += numpy.array(spans)[:, 0]
    return found


def _ways(violated: Batch, transition: Transition, spans: Spans, action: Codes, is_calm: NDArray[numpy.bool_]) -> Ways:
    """Where an action breaks no rule and stays within the ranges; notes in `is_calm` where it breaks none."""
    sizes = tuple(high - low + 1 for low, high in spans)
    fields = domain_of(transition.state).fields
    lowest, highest = numpy.array([one.low for one in fields]), numpy.array([one.high for one in fields])
    bases, tops = numpy.array(spans).T
    states, first, extents = [], [], []
    for start in range(0, len(is_calm), CHUNK):
        places = numpy.arange(start, min(start + CHUNK, len(is_calm)))
        codes = _codes(places, spans)
        is_safe = ~violated(codes, numpy.array(action)).any(1)
        is_calm[places] |= is_safe
        lows, highs = transition.spread(codes, action)
        is_way = is_safe & ((lows >= lowest) & (highs <= highest)).all(1)
        # A field that matters to neither rules nor model stands at its lowest, whatever it may become.
        lows, highs = lows[is_way], numpy.minimum(highs[is_way], tops)
        states.append(places[is_way].astype(numpy.int32))
        first.append(numpy.ravel_multi_index(tuple((lows - bases).T), sizes).astype(numpy.int32))
        extents.append((highs - lows).astype(numpy.int32))
    spread = numpy.concatenate(extents)
    noisy = [axis for axis in range(len(sizes)) if spread[:, axis].any()]
    return Ways(numpy.concatenate(states), numpy.concatenate(first), {axis: spread[:, axis].copy() for axis in noisy})


class Sums:
    """How many states of a box are lost, for many boxes at once: by sums of all that lies before, along some axes."""

    def __init__(self, sizes: tuple[int, ...], axes: list[int]) -> None:
        """Of a grid of some sizes, along the axes on which boxes are more than one place wide."""
        self.sizes, self.axes = sizes, axes
        self.shape = tuple(size + (axis in axes) for axis, size in enumerate(sizes))
        self.strides = [math.prod(self.shape[axis + 1 :]) for axis in range(len(sizes))]

    def moved(self, places: NDArray[Any]) -> NDArray[Any]:
        """Flat places in the grid as those in the grid of sums, in which each of the axes has one place more."""
        return numpy.ravel_multi_index(numpy.unravel_index(places, self.sizes), self.shape).astype(numpy.int32)

    def of(self, is_lost: NDArray[numpy.bool_]) -> NDArray[Any]:
        """The sums, flat: at each place of all that lies before it along the axes."""
        total = numpy.zeros(self.shape, dtype=numpy.int32)
        shifted = tuple(slice(int(axis in self.axes), None) for axis in range(len(self.sizes)))
        total[shifted] = is_lost.reshape(self.sizes)
        for axis in self.axes:
            numpy.cumsum(total, axis=axis, out=total)
        return total.ravel()

    def counts(self, total: NDArray[Any], ways: Ways) -> NDArray[Any]:
        """Lost states in the box of each way: by inclusion and exclusion of its corners."""
        found = numpy.zeros(len(ways.first), dtype=numpy.int64)
        for corner in itertools.product((False, True), repeat=len(self.axes)):
            place = ways.first.astype(numpy.int64)
            for axis in itertools.compress(self.axes, corner):
                place += (ways.extents.get(axis, 0) + 1) * self.strides[axis]
            found += total[place] * (-1) ** (len(self.axes) - sum(corner))
        return found
