"""A question answered by trying points: all of them on a grid, or some that were drawn.

Each field is an axis of its own, so that a part of a condition is computed only over the fields that it reads.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import Any, Final

import numpy
from numpy.typing import NDArray

from symbolic.domain import Domain
from symbolic.expression import Expr, Join, Junction, Owner, Read, reads
from symbolic.reading.batch import Condition, condition, width
from symbolic.solving.question import Point, Question

CELLS: Final = 1 << 18
"""Points in one go."""

Mask = Callable[[Sequence[Any], Sequence[Any]], Any]
"""From columns of the state's and the action's fields to where a condition holds."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Points drawn at random: a column of codes for each field."""

    state: tuple[NDArray[Any], ...]
    action: tuple[NDArray[Any], ...]


def drawn(state: Domain, action: Domain, count: int, seed: int) -> Drawn:
    """Draw points; each code is an end of its range one time in four, since that is where rules err."""
    rng = numpy.random.default_rng(seed)

    def column(low: int, high: int) -> NDArray[Any]:
        codes = rng.integers(low, high, size=count, endpoint=True)
        ends = numpy.where(rng.random(count) < 0.5, low, high)
        return numpy.where(rng.random(count) < 0.25, ends, codes)

    owners = (state, action)
    return Drawn(*(tuple(column(field.low, field.high) for field in domain.fields) for domain in owners))


def first(question: Question) -> Point | None:
    """The first point of the grid where all conditions hold, the last field varying fastest; None if there is none.

    Raises:
        BatchError: a condition computes numbers that may not fit into 64 bits.
    """
    masks, kind = _masks(question)
    for ranges in _boxes([question.span(read) for read in question.fields]):
        axes = [
            numpy.arange(low, high + 1, dtype=kind).reshape(
                [-1 if place == axis else 1 for place in range(len(ranges))]
            )
            for axis, (low, high) in enumerate(ranges)
        ]
        found = _all(masks, *_columns(question, axes))
        if found.any():
            shape = tuple(high - low + 1 for low, high in ranges)
            places = numpy.unravel_index(int(numpy.argmax(numpy.broadcast_to(found, shape))), shape)
            return question.point([int(place) + low for place, (low, _) in zip(places, ranges, strict=True)])
    return None


def among(question: Question, points: Drawn) -> Point | None:
    """The first drawn point where all conditions hold and that lies in the spans; None if there is none.

    Raises:
        BatchError: a condition computes numbers that may not fit into 64 bits.
    """
    masks, kind = _masks(question)
    own = [(points.state if one.owner is Owner.STATE else points.action)[one.field.index] for one in question.fields]
    inside = [
        (low <= column) & (column <= high)
        for column, (low, high) in zip(own, map(question.span, question.fields), strict=True)
        if column.size and (column.min() < low or column.max() > high)
    ]
    columns = [column.astype(kind) for column in own]
    found = _all([*(lambda s, a, one=one: one for one in inside), *masks], *_columns(question, columns))
    if not found.any():
        return None
    place = int(numpy.argmax(found)) if found.ndim else 0
    return question.point([int(column[place]) for column in own])


def _boxes(spans: Sequence[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """The grid in order, in boxes of at most `CELLS` points."""
    inner = 1
    axis = len(spans)
    while axis and inner * (spans[axis - 1][1] - spans[axis - 1][0] + 1) <= CELLS:
        axis -= 1
        inner *= spans[axis][1] - spans[axis][0] + 1
    if axis == 0:
        yield list(spans)
        return
    low, high = spans[axis - 1]
    step = max(1, CELLS // inner)
    outer = itertools.product(*(range(one, other + 1) for one, other in spans[: axis - 1]))
    for codes in outer:
        for start in range(low, high + 1, step):
            middle = (start, min(start + step - 1, high))
            yield [*((code, code) for code in codes), middle, *spans[axis:]]


def _masks(question: Question) -> tuple[list[Mask], Any]:
    """One mask for each condition, and the type of numbers that all of them fit in."""
    ends = [abs(end) for read in question.fields for end in question.span(read)]
    parts: list[Condition] = []

    def single(expr: Expr) -> Mask:
        one = condition(expr)
        parts.append(one)
        return lambda s, a: one(numpy, kind, s, a)

    def mask(expr: Expr) -> Mask:
        if not (isinstance(expr, Join) and expr.op in (Junction.AND, Junction.OR)):
            return single(expr)
        join = and_ if expr.op is Junction.AND else or_
        groups: dict[frozenset[Read], list[Mask]] = {}
        for arg in expr.args:  # those over the same fields first: what they have in common stays small
            groups.setdefault(frozenset(reads(arg)), []).append(mask(arg))
        ordered = sorted(groups.items(), key=lambda item: _cells(item[0]))
        return lambda s, a: reduce(join, [reduce(join, [one(s, a) for one in group]) for _, group in ordered])

    masks = [mask(one) for one in question.conditions]
    kind = getattr(numpy, f"int{width(max([*ends, *(part.largest for part in parts)], default=0))}")
    return masks, kind


def _cells(fields: frozenset[Read]) -> int:
    return math.prod(read.field.high - read.field.low + 1 for read in fields)


def _columns(question: Question, axes: Sequence[NDArray[Any]]) -> tuple[list[Any], list[Any]]:
    """Columns by the fields' places in state and action; those that no condition reads are None."""
    state: list[Any] = [None] * len(question.state.fields)
    action: list[Any] = [None] * len(question.action.fields)
    for read, axis in zip(question.fields, axes, strict=True):
        (state if read.owner is Owner.STATE else action)[read.field.index] = axis
    return state, action


def _all(masks: Sequence[Mask], state: list[Any], action: list[Any]) -> NDArray[Any]:
    """Where all masks hold; the later ones are not looked at once nothing is left."""
    found = numpy.asarray(True)
    for mask in masks:
        found = found & mask(state, action)
        if not found.any():
            break
    return found
