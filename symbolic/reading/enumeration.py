"""Open facts decided by trying states: all where they are few, else the corners, which can only find violations."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, Final

from symbolic.expression import Owner
from symbolic.facts import Facts
from symbolic.field import FieldSpec, Kind
from symbolic.reading.compiled import Codes
from symbolic.reading.reference import MAYBE, NO, YES, Truth

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

MAX_STATES: Final = 64
"""States tried for one rule: some 40 microseconds, where a query to the solver takes a millisecond."""


def search(ruleset: RuleSet[Any, Any], index: int, facts: Facts, action: Codes) -> Truth | None:
    """Whether a rule is violated in all (YES), some (MAYBE) or no (NO) allowed states; None if trying cannot tell."""
    fields = [read.field for read in ruleset.rules[index].reads if read.owner is Owner.STATE]
    spans = [facts.span(field) for field in fields]
    is_exhaustive = math.prod(high - low + 1 for low, high in spans) <= MAX_STATES
    values = [
        range(low, high + 1) if is_exhaustive else ends(field, low, high)
        for field, (low, high) in zip(fields, spans, strict=True)
    ]
    found: set[bool] = set()
    codes = [facts.span(field)[0] for field in ruleset.state.__domain__.fields]
    for point in itertools.islice(itertools.product(*values), MAX_STATES):
        for field, code in zip(fields, point, strict=True):
            codes[field.index] = code
        found.add(index in ruleset.compiled(tuple(codes), action))
        if len(found) == 2:
            return MAYBE
    if is_exhaustive:
        return YES if found == {True} else NO
    return MAYBE if True in found else None


def ends(field: FieldSpec, low: int, high: int) -> range:
    """The values of a field that a corner may have: both ends of a number, all of a flag or choice."""
    return range(low, high + 1) if field.kind is not Kind.NUMBER else range(low, high + 1, max(1, high - low))
