"""The fast reading of margins: one generated function for a whole set finds all violated rules and by how much.

The semantics is `margin.py`'s. A degree is written as a pair (value, place): the value an integer, in parts of the
rule's common denominator, the place that of the comparison in the rule, `~place` where it is turned round.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from operator import itemgetter
from typing import TypeAlias, cast

from symbolic.domain import Domain
from symbolic.expression import Compare, Constant, Expr, Join, Junction, Member, Not, Order, Read, Same, reads
from symbolic.reading.compiled import Codes, Scaled, define, number_source, opened, truth_source
from symbolic.reading.margin import Margin
from symbolic.reading.residual import NEGATED
from symbolic.reading.sentence import part

Found: TypeAlias = tuple[int, float, int]
"""Place of a violated rule, its degree in parts of its denominator (infinity: no margin), place of the comparison."""


@dataclass(frozen=True, slots=True)
class Measure:
    """The generated function of a rule set and what its numbers mean."""

    function: Callable[[Codes, Codes], list[Found]]
    """Codes of state and action to the violated rules, in order; raises as `compiled` does."""
    scales: tuple[int, ...]
    """For each rule the common denominator of its comparisons."""
    texts: tuple[tuple[tuple[str, str], ...], ...]
    """For each rule its comparisons as people read them, as written and turned round."""

    def margin(self, found: Found) -> Margin | None:
        """What the function found of one rule, exactly."""
        rule, value, place = found
        if value == math.inf:
            return None
        turned = place < 0
        return Margin(Fraction(int(value), self.scales[rule]), self.texts[rule][~place if turned else place][turned])


def compile_measure(violations: Sequence[Expr], state: Domain, action: Domain) -> Measure:
    """The measure of the conditions that break each rule."""
    writers = [_Writer(violation) for violation in violations]
    body = "".join(
        f"    if {truth_source(violation)}:\n        found.append(({place}, *{writer.sure(violation)}))\n"
        for place, (violation, writer) in enumerate(zip(violations, writers, strict=True))
    )
    source = f"def measure(s, a):\n{opened(state, action)}    found = []\n{body}    return found\n"
    names = {"inf": math.inf, "first": itemgetter(0), "flip": _flip, "same": _same}
    return Measure(
        function=cast(Callable[[Codes, Codes], list[Found]], define(source, "measure", names)),
        scales=tuple(writer.scale for writer in writers),
        texts=tuple(writer.texts for writer in writers),
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
        self.texts = tuple(
            (part(one, violation), part(Compare(NEGATED[one.op], one.left, one.right), violation))
            for one in self.compared
        )
        self.sources = {
            one: f"({self.difference(one.op, *pair)}, {place})"
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

    def sure(self, expr: Expr) -> str:
        """The degree of a condition that is known to hold: what has no number does not count in an `and`."""
        match expr:
            case Join(op=Junction.AND):
                parts = [self.sure(arg) for arg in expr.args if self.is_measured(arg)]
                return _chosen("min", parts) if parts else "(inf, 0)"
            case _:
                return self.degree(expr) if self.is_measured(expr) else "(inf, 0)"

    def is_measured(self, expr: Expr) -> bool:
        """Whether some comparison of the condition counts."""
        return next(_compared(expr), None) is not None

    def degree(self, expr: Expr) -> str:
        match expr:
            case Compare() if expr in self.sources:
                return self.sources[expr]
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


def _chosen(name: str, parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{name}({', '.join(parts)}, key=first)"
