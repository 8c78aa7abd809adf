"""The nearest state in which an action complies: the smallest change of what is perceived, of one field or of all.

Boxes of states are looked at in the order of how near they are. One in which no rule can be broken holds the answer:
every state that is nearer, or as near and before it by codes, lay in a box that was looked at already. One in which a
rule is broken throughout is left out; any other is cut, so that what is near comes apart from the rest. No solver runs.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from symbolic.declaration import opposite
from symbolic.domain import State, domain_of
from symbolic.expression import Expr, Owner, reads
from symbolic.facts import Facts
from symbolic.field import Code, FieldSpec, Kind
from symbolic.mending.metric import Cost, Metric
from symbolic.reading.compiled import Codes
from symbolic.reading.reference import NO, YES, Walk

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

MAX_BOXES: Final = 4_000
"""Boxes looked at for one answer; beyond, the answer is not known."""

Span: TypeAlias = tuple[int, int]
Box: TypeAlias = tuple[Span, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """What was found of the states in which an action complies."""

    facts: Facts | None
    """The nearest of them; what may stay open is as open as it was. None: there is none, or none was found."""
    distance: Fraction
    """From what the facts allow; 0 where the facts allow it, and where there is none."""
    is_proved: bool
    """Whether nothing nearer complies, or nothing at all where `facts` is None."""


def shares(schema: type[State]) -> Metric:
    """The metric of states where none is declared: 1 for the whole range of a number and for any other change."""
    return _shares(schema)


@lru_cache(maxsize=64)
def _shares(schema: type[State]) -> Metric:
    return Metric(schema, tuple(_share(one) for one in domain_of(schema).fields))


def _share(one: FieldSpec) -> Cost:
    width = (one.high - one.low) * one.step
    return 1 / width if one.kind is Kind.NUMBER and width else Fraction(1)


def nearest_state(ruleset: RuleSet[Any, Any], facts: Facts, action: Codes, metric: Metric) -> Nearest:
    """The nearest state in which the action with these codes is safe, whatever field has to change."""
    fields = domain_of(ruleset.state).fields
    return _Search(ruleset, facts, action, metric, _excluded(ruleset)).run(
        tuple((one.low, one.high) for one in fields), fields
    )


def nearest_value(ruleset: RuleSet[Any, Any], facts: Facts, action: Codes, metric: Metric, one: FieldSpec) -> Nearest:
    """The nearest value of one field with which the action is safe, whatever the facts leave open of the others."""
    spans = [facts.span(other) for other in domain_of(ruleset.state).fields]
    spans[one.index] = one.low, one.high
    return _Search(ruleset, facts, action, metric, _excluded(ruleset)).run(tuple(spans), (one,))


def _excluded(ruleset: RuleSet[Any, Any]) -> tuple[Expr, ...]:
    assumed = () if ruleset.assumption is None else (opposite(ruleset.assumption),)
    return (*(rule.violation for rule in ruleset.rules), *assumed)


@dataclass(frozen=True, slots=True)
class _Search:
    """Where it starts, and what is wanted there."""

    ruleset: RuleSet[Any, Any]
    facts: Facts
    action: Codes
    metric: Metric
    conditions: tuple[Expr, ...]
    """None of them may hold: that a rule is broken, and that memory says what cannot be."""
    heap: list[tuple[int, Codes, Box, tuple[int, ...]]] = field(default_factory=list)
    """Distance of a box, the nearest of its states, the box, and the conditions that may hold in it."""

    def run(self, whole: Box, movable: Sequence[FieldSpec]) -> Nearest:
        """The nearest state of a box; only movable fields are cut."""
        broken = self.ruleset.compiled(self.nearest(whole), self.action)
        # What is broken here most often is so in the boxes around, which are left out the sooner for it.
        self.push(whole, tuple(dict.fromkeys((*broken, *range(len(self.conditions))))))
        is_proved = True
        for _ in range(MAX_BOXES):
            if not self.heap:
                return Nearest(facts=None, distance=Fraction(), is_proved=is_proved)
            away, near, box, rules = heapq.heappop(self.heap)
            left = self.open_rules(box, rules)
            if left == ():
                return self.found(away, near, box, is_proved=is_proved)
            if left is not None:
                place = self.widest(box, left, movable)
                if place is None:
                    is_proved = False  # broken in some of what the facts leave open, as far as can be told
                else:
                    for part in self.cut(box, place):
                        self.push(part, left)
        return Nearest(facts=None, distance=Fraction(), is_proved=False)

    def push(self, box: Box, rules: tuple[int, ...]) -> None:
        near = self.nearest(box)
        heapq.heappush(self.heap, (self.away(near), near, box, rules))

    def found(self, away: int, near: Codes, box: Box, *, is_proved: bool) -> Nearest:
        """The nearest state of a box in which all are safe, so that what the facts leave open inside it may stay so."""
        codes = []
        for one, code, (low, high) in zip(domain_of(self.ruleset.state).fields, near, box, strict=True):
            least, most = self.facts.span(one)
            codes.append(self.facts.codes[one.index] if low <= least and most <= high else code)
        facts = Facts.from_codes(self.facts.schema, self.agreeing(codes, near), self.facts.age_s)
        return Nearest(facts=facts, distance=Fraction(away, self.metric.scale), is_proved=is_proved)

    def agreeing(self, codes: Sequence[Code], near: Codes) -> tuple[Code, ...]:
        """The same with each optional field open where it is not known, and neighbours who are absent at their lowest.

        No rule reads such fields then, so that what is safe stays safe.
        """
        agreed = [*codes]
        for one in domain_of(self.ruleset.state).fields:
            if one.known is not None:
                own = near[one.index] if codes[one.index] is None else codes[one.index]
                agreed[one.index] = own if codes[one.known.index] == 1 else None
            if one.present not in (None, one.index) and codes[one.present] == 0:
                agreed[one.index] = one.low
        return tuple(agreed)

    def open_rules(self, box: Box, rules: tuple[int, ...]) -> tuple[int, ...] | None:
        """Which of some conditions may hold in a box; None where one holds throughout."""
        walk = Walk(Facts.from_codes(self.facts.schema, box), self.action)
        left = []
        for rule in rules:
            truth = walk.truth(self.conditions[rule])
            if truth is YES:
                return None
            if truth is not NO:
                left.append(rule)
        return tuple(left)

    def nearest(self, box: Box) -> Codes:
        """The state of a box that is nearest to what the facts allow, the first among equals."""
        return tuple(self.near(one, span) for one, span in zip(domain_of(self.ruleset.state).fields, box, strict=True))

    def near(self, one: FieldSpec, span: Span) -> int:
        """The code of a range that is nearest to what the facts allow of a field, the lowest among equals."""
        low, high = span
        least, most = self.facts.span(one)
        if one.kind is Kind.NUMBER or (low <= most and least <= high):
            return max(low, least) if least <= high else high
        return min(range(low, high + 1), key=lambda code: (self.step(one, code), code))

    def step(self, one: FieldSpec, code: int) -> int:
        """Distance of a code from what the facts allow of a field."""
        least, most = self.facts.span(one)
        if least <= code <= most:
            return 0
        weight = self.metric.weights[one.index]
        if isinstance(weight, tuple):
            return min(weight[here][code] for here in range(least, most + 1))
        return weight * (max(least - code, code - most) if one.kind is Kind.NUMBER else 1)

    def away(self, state: Codes) -> int:
        """Distance of a state from what the facts allow, in parts of the metric's scale."""
        return sum(self.step(one, code) for one, code in zip(domain_of(self.ruleset.state).fields, state, strict=True))

    def widest(self, box: Box, rules: Sequence[int], movable: Sequence[FieldSpec]) -> int | None:
        """The field that is cut next: of those that the open rules read the one that reaches furthest."""
        known = self.ruleset.rules
        read = {
            one.field.index
            for rule in rules
            for one in (known[rule].reads if rule < len(known) else reads(self.conditions[rule]))
            if one.owner is Owner.STATE
        }
        places = [one.index for one in movable if one.index in read and box[one.index][0] < box[one.index][1]]
        return max(places, key=lambda place: self.reach(place, box[place]), default=None)

    def reach(self, place: int, span: Span) -> tuple[int, int]:
        """How much further than its near end a range reaches, and how wide it is."""
        one = domain_of(self.ruleset.state).fields[place]
        return max(self.step(one, end) for end in span) - self.step(one, self.near(one, span)), span[1] - span[0]

    def cut(self, box: Box, place: int) -> Iterator[Box]:
        """Parts of a box: what the facts allow of a field apart from the rest; else its halves."""
        low, high = box[place]
        one = domain_of(self.ruleset.state).fields[place]
        least, most = self.facts.span(one)
        middle = (low + high) // 2
        cuts = {end for end in (least - 1, most) if low <= end < high} or {middle}
        start = low
        for end in (*sorted(cuts), high):
            yield (*box[:place], (start, end), *box[place + 1 :])
            start = end + 1
