"""The fast reading of margins: one generated function for a whole set finds all violated rules and by how much.

The semantics is `margin.py`'s. A degree is written as a pair (value, place): the value an integer, in parts of the
rule's common denominator, the place that of the comparison in the rule, `~place` where it is turned round.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from operator import itemgetter
from typing import Final, TypeAlias, cast

from symbolic.domain import Domain
from symbolic.expression import Compare, Constant, Expr, Join, Junction, Member, Not, Order, Read, Same, reads
from symbolic.reading.compiled import Codes, Scaled, define, number_source, opened, truth_source
from symbolic.reading.margin import Margin
from symbolic.reading.residual import NEGATED
from symbolic.reading.sentence import part

MAX_KEPT: Final = 4096
"""Margins kept for a rule set."""

Found: TypeAlias = tuple[int, float, int]
"""Place of a violated rule, its degree in parts of its denominator (infinity: no margin), place of the comparison."""


@dataclass(frozen=True, slots=True)
class Measure:
    """The generated function of a rule set and what its numbers mean."""

    function: Callable[[Codes, Codes], list[Found]]
    """Codes of state and action to the violated rules, in order; raises as `compiled` does."""
    violations: tuple[Expr, ...]
    compared: tuple[tuple[Compare, ...], ...]
    """For each rule its comparisons."""
    scales: tuple[int, ...]
    """For each rule the common denominator of its comparisons."""
    texts: dict[tuple[int, int], str] = field(default_factory=dict, compare=False, repr=False)
    """Cache of `text`."""
    known: dict[Found, Margin] = field(default_factory=dict, compare=False, repr=False)
    """Cache of `margin`: making one takes two microseconds, and the same come again and again."""

    def margin(self, found: Found) -> Margin | None:
        """What the function found of one rule, exactly."""
        rule, value, place = found
        if value == math.inf:
            return None
        known = self.known.get(found)
        if known is None:
            if len(self.known) >= MAX_KEPT:
                self.known.clear()
            known = self.known[found] = Margin(Fraction(int(value), self.scales[rule]), self.text(rule, place))
        return known

    def text(self, rule: int, place: int) -> str:
        """A comparison of a rule as people read it, turned round where its place is `~place`."""
        key = rule, place
        if key not in self.texts:
            one = self.compared[rule][~place if place < 0 else place]
            turned = Compare(NEGATED[one.op], one.left, one.right) if place < 0 else one
            self.texts[key] = part(turned, self.violations[rule])
        return self.texts[key]


def compile_measure(violations: Sequence[Expr], state: Domain, action: Domain) -> Measure:
    """The measure of the conditions that break each rule.

    Measured (100 rules of five shapes, 3 of them violated in the mean, one shared core): median as without margins
    while nothing is violated, and some 0.2 us more for each violated rule; a `min` of pairs took 1 us each.
    """
    writers = [_Writer(violation) for violation in violations]
    body = "".join(
        f"    if {truth_source(violation)}:\n{writer.noted(place, violation)}"
        for place, (violation, writer) in enumerate(zip(violations, writers, strict=True))
    )
    source = f"def measure(s, a):\n{opened(state, action)}    found = []\n{body}    return found\n"
    names = {"inf": math.inf, "first": itemgetter(0), "flip": _flip, "same": _same}
    return Measure(
        function=cast(Callable[[Codes, Codes], list[Found]], define(source, "measure", names)),
        violations=tuple(violations),
        compared=tuple(writer.compared for writer in writers),
        scales=tuple(writer.scale for writer in writers),
    )


def _flip(found: tuple[float, int]) -> tuple[float, int]:
    return -found[0], ~found[1]


def _same(left: tuple[float, int], right: tuple[float, int]) -> tuple[float, int]:
    """The degree of `left iff right`."""
    value = itemgetter(0)
    return max(min(left, right, key=value), min(_flip(left), _flip(right), key=value), key=value)


class _Writer:
    """Writes the degree of one rule's violation as source."""

    def __init__(self, violation: Expr) -> None:
        self.compared = tuple(dict.fromkeys(_compared(violation)))
        sides = [(number_source(one.left), number_source(one.right)) for one in self.compared]
        self.scale = math.lcm(*(side.denominator for pair in sides for side in pair))
        self.amounts = {
            one: (self.difference(one.op, *pair), place)
            for place, (one, pair) in enumerate(zip(self.compared, sides, strict=True))
        }

    def difference(self, op: Order, left: Scaled, right: Scaled) -> str:
        more, less = (f"({side.times(self.scale // side.denominator)})" for side in (left, right))
        match op:
            case Order.LT | Order.LE:
                return f"{less} - {more}"
            case Order.GT | Order.GE:
                return f"{more} - {less}"
            case Order.EQ:
                return f"-abs({more} - {less})"
            case Order.NE:
                return f"abs({more} - {less})"

    def noted(self, rule: int, violation: Expr) -> str:
        """Lines that note the degree of a violation that holds: what has no number does not count in an `and`."""
        parts = [one for one in _conjuncts(violation, is_negated=False) if self.is_measured(one)]
        atoms = [self.atom(one) for one in parts]
        if None in atoms:
            return f"        found.append(({rule}, *{_chosen('min', [self.degree(one) for one in parts])}))\n"
        if not parts:
            return f"        found.append(({rule}, inf, 0))\n"
        (least, place), *rest = cast(list[tuple[str, int]], atoms)
        if not rest:
            return f"        found.append(({rule}, {least}, {place}))\n"
        lines = [f"least = {least}", f"place = {place}"]
        for amount, other in rest:
            lines += [f"other = {amount}", f"if other < least: least = other; place = {other}"]
        lines.append(f"found.append(({rule}, least, place))")
        return "".join(f"        {line}\n" for line in lines)

    def atom(self, expr: Expr) -> tuple[str, int] | None:
        """Degree and place of a comparison or its opposite; None for anything else."""
        match expr:
            case Compare():
                return self.amounts.get(expr)
            case Not(Compare() as arg) if arg in self.amounts:
                amount, place = self.amounts[arg]
                return f"-({amount})", ~place
            case _:
                return None

    def is_measured(self, expr: Expr) -> bool:
        """Whether some comparison of the condition counts."""
        return next(_compared(expr), None) is not None

    def degree(self, expr: Expr) -> str:
        match expr:
            case Compare() if expr in self.amounts:
                amount, place = self.amounts[expr]
                return f"({amount}, {place})"
            case Not():
                return f"flip({self.degree(expr.arg)})"
            case Join():
                return self.joined(expr.op, [self.degree(arg) for arg in expr.args])
            case Compare() | Read() | Member() | Same() | Constant():
                return f"((inf, 0) if {truth_source(expr)} else (-inf, 0))"
            case _:
                raise TypeError(f"expected a condition, got {type(expr).__name__}; compare it with a value")

    def joined(self, op: Junction, parts: list[str]) -> str:
        match op:
            case Junction.AND:
                return _chosen("min", parts)
            case Junction.OR:
                return _chosen("max", parts)
            case Junction.IMPLIES:
                return _chosen("max", [f"flip({parts[0]})", parts[1]])
            case Junction.IFF:
                return f"same({parts[0]}, {parts[1]})"


def _compared(expr: Expr) -> Iterator[Compare]:
    """The comparisons that a condition joins, in order; those inside a number are part of that number."""
    match expr:
        case Compare() if reads(expr):
            yield expr
        case Not():
            yield from _compared(expr.arg)
        case Join():
            for arg in expr.args:
                yield from _compared(arg)


def _conjuncts(expr: Expr, *, is_negated: bool) -> Iterator[Expr]:
    """What all holds where a condition (or its opposite) holds."""
    match expr:
        case Not():
            yield from _conjuncts(expr.arg, is_negated=not is_negated)
        case Join(op=Junction.IMPLIES) if is_negated:
            yield from _conjuncts(expr.args[0], is_negated=False)
            yield from _conjuncts(expr.args[1], is_negated=True)
        case Join() if expr.op is (Junction.OR if is_negated else Junction.AND):
            for arg in expr.args:
                yield from _conjuncts(arg, is_negated=is_negated)
        case _:
            yield Not(expr) if is_negated else expr


def _chosen(name: str, parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{name}({', '.join(parts)}, key=first)"
