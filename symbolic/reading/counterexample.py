"""Where open facts may break a rule: one allowed state that does, the first in order where that is proved.

States are ordered by their codes, field by field as declared: first comes the state with the lowest code of the first
field, among equals that of the second, and so on. The search halves boxes of states, the lower half first, and leaves
out those that cannot break the rule; so what it finds first is the first there is. Every answer is replayed.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from symbolic.expression import Owner
from symbolic.facts import Facts
from symbolic.field import FieldSpec
from symbolic.reading.compiled import Codes
from symbolic.reading.enumeration import MAX_STATES, ends
from symbolic.reading.reference import NO, YES, Walk

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

MAX_BOXES: Final = 64
"""Boxes looked at for one rule, at some 20 microseconds each; then corners are tried, then the solver is asked."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A state that facts allow and in which an action breaks a rule."""

    facts: Facts
    """The state as exact facts."""
    is_first: bool
    """Whether it is proved that no allowed state before it breaks the rule."""

    @property
    def codes(self) -> Codes:
        """Its codes."""
        return tuple(code for code in self.facts.codes if isinstance(code, int))


def counterexample(ruleset: RuleSet[Any, Any], index: int, facts: Facts, action: Codes) -> Counterexample | None:
    """A state that breaks the rule with this place; None where none was found, which says nothing."""
    fields = [read.field for read in ruleset.rules[index].reads if read.owner is Owner.STATE]
    search = _Search(ruleset, index, facts, action, tuple(sorted(fields, key=lambda field: field.index)))
    found, is_sure = search.first()
    if found is None and not is_sure:
        found = search.corner() or search.solved()
    if found is None or not search.breaks(found):
        return None
    return Counterexample(Facts.from_codes(facts.schema, found, facts.age_s), is_sure)


@dataclass(frozen=True, slots=True)
class _Search:
    """What is looked for, and over which fields: those that the rule reads, as declared."""

    ruleset: RuleSet[Any, Any]
    index: int
    facts: Facts
    action: Codes
    fields: tuple[FieldSpec, ...]

    def first(self) -> tuple[Codes | None, bool]:
        """The first state that breaks the rule, and whether that is sure; unsure where the budget was used up."""
        violation = self.ruleset.rules[self.index].violation
        boxes = [tuple(self.facts.span(field) for field in self.fields)]
        for _ in range(MAX_BOXES):
            if not boxes:
                return None, True
            box = boxes.pop()
            if math.prod(high - low + 1 for low, high in box) <= MAX_STATES:
                found = self.among(*(range(low, high + 1) for low, high in box))
            else:
                truth = Walk(self.facts_of(box), self.action).truth(violation)
                found = self.codes(tuple(low for low, _ in box)) if truth is YES else None
                boxes += _halves(box) if found is None and truth is not NO else ()
            if found is not None:
                return found, True
        return None, not boxes

    def corner(self) -> Codes | None:
        """A corner of the box that breaks the rule."""
        return self.among(*(ends(field, *self.facts.span(field)) for field in self.fields))

    def solved(self) -> Codes | None:
        """The solver's example."""
        if self.ruleset.decider is not None:
            return None
        from symbolic.solving import smt  # here: exact checks must work where the solver is absent

        return smt.example(self.ruleset, self.facts, self.action, self.index)

    def among(self, *values: range) -> Codes | None:
        """The first of a product of values, of `MAX_STATES` at most, that breaks the rule."""
        points = map(self.codes, itertools.islice(itertools.product(*values), MAX_STATES))
        return next((point for point in points if self.breaks(point)), None)

    def breaks(self, state: Codes) -> bool:
        return self.index in self.ruleset.compiled(state, self.action)

    def codes(self, point: Codes) -> Codes:
        """A whole state: what the rule does not read has its lowest code."""
        codes = [self.facts.span(field)[0] for field in self.ruleset.state.__domain__.fields]
        for field, code in zip(self.fields, point, strict=True):
            codes[field.index] = code
        return tuple(codes)

    def facts_of(self, box: tuple[Span, ...]) -> Facts:
        codes = list(self.facts.codes)
        for field, span in zip(self.fields, box, strict=True):
            codes[field.index] = span
        return Facts.from_codes(self.facts.schema, tuple(codes))


def _halves(box: tuple[Span, ...]) -> list[tuple[Span, ...]]:
    """A box cut across its first field that is open, the lower half last."""
    place = next(place for place, (low, high) in enumerate(box) if low < high)
    low, high = box[place]
    middle = (low + high) // 2
    return [(*box[:place], half, *box[place + 1 :]) for half in ((middle + 1, high), (low, middle))]
