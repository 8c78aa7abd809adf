"""A question about all states at once: is there a state, and an action in it, in which some conditions hold?

The load-time report asks nothing else. A question is read by the solver (`existence.py`), by arrays over a grid
(`proving/grid.py`) and as SMT-LIB 2 (`smtlib.py`); its key is a hash of all that its answer depends on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TypeAlias

from symbolic.canonical import to_plain
from symbolic.domain import Domain
from symbolic.expression import Expr, Owner, Read, reads
from symbolic.field import FieldSpec

Codes: TypeAlias = tuple[int, ...]
Spans: TypeAlias = tuple[tuple[int, int], ...]
"""Lowest and highest code of each field of a state."""


@dataclass(frozen=True, slots=True)
class Point:
    """A state, and an action in it, as codes."""

    state: Codes
    action: Codes


@dataclass(frozen=True, slots=True)
class Question:
    """Whether some state in the spans, and some action, make all conditions true; none of them is true everywhere."""

    state: Domain
    action: Domain
    conditions: tuple[Expr, ...]
    """Plain conditions over the fields of state and action."""
    spans: Spans
    fields: tuple[Read, ...] = field(init=False, repr=False, compare=False)
    """The fields that the conditions read: those of the state first, each owner's in order of declaration."""

    def __post_init__(self) -> None:
        """Derive which fields matter."""
        found = {read for condition in self.conditions for read in reads(condition)}
        order = sorted(found, key=lambda read: (read.owner is Owner.ACTION, read.field.index))
        object.__setattr__(self, "fields", tuple(order))

    def span(self, read: Read) -> tuple[int, int]:
        """Lowest and highest code that a field may have."""
        return self.spans[read.field.index] if read.owner is Owner.STATE else (read.field.low, read.field.high)

    @property
    def size(self) -> int:
        """Points that differ in the fields that matter."""
        return math.prod(high - low + 1 for low, high in map(self.span, self.fields))

    @property
    def key(self) -> str:
        """Hash of the conditions and of the fields that they read, as hexadecimal text."""
        fields = [[read.owner.value, *_record(read.field), *self.span(read)] for read in self.fields]
        text = json.dumps([fields, [to_plain(one) for one in self.conditions]], separators=(",", ":"))
        return sha256(text.encode()).hexdigest()

    def point(self, codes: Sequence[int]) -> Point:
        """A point from the codes of `fields`; what does not matter has its lowest code."""
        state = [low for low, _ in self.spans]
        action = [one.low for one in self.action.fields]
        for read, code in zip(self.fields, codes, strict=True):
            (state if read.owner is Owner.STATE else action)[read.field.index] = code
        return Point(tuple(state), tuple(action))


def spans_of(domain: Domain) -> Spans:
    """The declared ranges."""
    return tuple((one.low, one.high) for one in domain.fields)


def _record(one: FieldSpec) -> list[object]:
    return [one.name, one.kind.value, f"{one.numerator}/{one.denominator}", list(one.words)]
