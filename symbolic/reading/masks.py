"""The reading for all actions at once: which of them break a rule in one state, as the bits of an integer.

    broken = compile_masks(violations, actions, state, action)
    broken(codes) >> 3 & 1          # whether the fourth action of the list breaks a rule

What a condition says of the state alone is one truth, what it says of the action alone one constant of bits, made
beforehand. Where it compares the two, the actions are sorted by their side of the comparison, so that one search in
that list gives the bits of all for which it holds. What is mixed otherwise is tried for each combination of the values
that it reads.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import reduce
from operator import and_, or_
from typing import Final, cast

from symbolic.domain import Domain
from symbolic.expression import (
    Arithmetic,
    Compare,
    Compute,
    Expr,
    Join,
    Junction,
    Not,
    Number,
    Order,
    Owner,
    Same,
    reads,
)
from symbolic.reading.compiled import Codes, number_source, truth_source
from symbolic.reading.residual import NEGATED

SEARCHED: Final = {
    Order.LT: ("above", bisect_right),
    Order.LE: ("above", bisect_left),
    Order.GT: ("below", bisect_left),
    Order.GE: ("below", bisect_right),
}
"""`state < action` holds for the actions above the place where the state's side would be put behind its equals."""


@dataclass(frozen=True, slots=True)
class Part:
    """A condition over all actions."""

    truth: str = ""
    """Source of a truth where it is the same for all of them, or ''."""
    bits: str = ""
    """Else source of the bits of those for which it holds; a plain number where it depends on the action alone."""

    @property
    def is_constant(self) -> bool:
        return self.bits.isdigit()


def compile_masks(
    violations: Sequence[Expr], actions: Sequence[Codes], state: Domain, action: Domain
) -> Callable[[Codes], int]:
    """Function from the codes of a state to the bits of the actions (in the order given) that break some rule.

    It raises `ValueError` where a code lies outside its field or codes are missing.
    """
    writer = _Writer(actions, action)
    body = "".join(map(writer.statement, map(writer.truth, violations)))
    unpacked = "".join(f"s{one.index}, " for one in state.fields)
    guards = " and ".join(f"{one.low} <= s{one.index} <= {one.high}" for one in state.fields)
    refusal = "raise ValueError('expected codes within their fields, got others; build facts by `of` or `exact`')"
    source = (
        f"def broken(s):\n    if len(s) != {len(state.fields)}:\n        {refusal}\n    {unpacked} = s\n"
        f"    if not ({guards}):\n        {refusal}\n    found = 0\n{body}    return found\n"
    )
    return cast(Callable[[Codes], int], _define(source, "broken", writer.names))


def _define(source: str, name: str, names: dict[str, object]) -> object:
    # INVARIANT: source comes from `truth_source` and `_Writer`, which write integers and operators only.
    space: dict[str, object] = {
        "__builtins__": {}, "min": min, "max": max, "abs": abs, "sum": sum, "len": len, "ValueError": ValueError,
        "bisect_left": bisect_left, "bisect_right": bisect_right, **names,
    }  # fmt: skip
    exec(compile(source, "<rules over all actions>", "exec"), space)  # noqa: S102
    return space[name]


@dataclass(slots=True)
class _Writer:
    """Writes conditions as source; what is too long for it stands in named tables."""

    actions: Sequence[Codes]
    domain: Domain
    names: dict[str, object] = field(default_factory=dict)

    @property
    def every(self) -> int:
        return (1 << len(self.actions)) - 1

    def table(self, value: object) -> str:
        name = f"t{len(self.names)}"
        self.names[name] = value
        return name

    def statement(self, part: Part) -> str:
        """Source that adds what breaks one rule to what is found."""
        if part.truth:
            return f"    if {part.truth}:\n        return {self.every}\n"
        return f"    found |= {part.bits}\n" if part.bits != "0" else ""

    def truth(self, expr: Expr, *, is_negated: bool = False) -> Part:
        """A condition, or its opposite."""
        owners = {read.owner for read in reads(expr)}
        if owners == {Owner.ACTION}:
            return Part(bits=str(self.chosen(expr) ^ (self.every if is_negated else 0)))
        if Owner.ACTION not in owners:
            return Part(truth=f"(not {truth_source(expr)})" if is_negated else truth_source(expr))
        match expr:
            case Not():
                return self.truth(expr.arg, is_negated=not is_negated)
            case Join(Junction.IFF, (left, right)):
                texts = [self.bits(self.truth(left)), self.bits(self.truth(right, is_negated=not is_negated))]
                return Part(bits=f"({texts[0]} ^ {texts[1]})")
            case Join(Junction.IMPLIES, (left, right)):
                parts = [self.truth(left, is_negated=not is_negated), self.truth(right, is_negated=is_negated)]
                return self.joined(parts, is_all=is_negated)
            case Join():
                parts = [self.truth(arg, is_negated=is_negated) for arg in expr.args]
                return self.joined(parts, is_all=(expr.op is Junction.AND) is not is_negated)
            case Same():
                found = self.same(expr)
                return Part(bits=f"({self.every} ^ {found})" if is_negated else found)
            case Compare():
                op = NEGATED[expr.op] if is_negated else expr.op
                return Part(bits=self.compare(Compare(op, expr.left, expr.right)))
            case _:
                raise TypeError(f"expected a condition, got {type(expr).__name__}; compare it with a value")

    def chosen(self, expr: Expr) -> int:
        """Bits of the actions for which a condition over the action holds."""
        return sum(bits for holds, bits in self.tabulated(expr, truth_source(expr)) if holds)

    def tabulated(self, expr: Expr, source: str) -> list[tuple[int, int]]:
        """The value of what reads the action alone, and bits of the actions, for each combination that it reads."""
        names, rows = self.groups(expr)
        value = cast(Callable[..., int], _define(f"def value({names}):\n    return {source}\n", "value", {}))
        return [(value(*codes), bits) for codes, bits in rows]

    def groups(self, expr: Expr) -> tuple[str, list[tuple[Codes, int]]]:
        """Variables of the action that are read, and bits of the actions by their values."""
        read = [one.field.index for one in reads(expr) if one.owner is Owner.ACTION]
        bits: dict[Codes, int] = {}
        for place, one in enumerate(self.actions):
            key = tuple([one[index] for index in read])
            bits[key] = bits.get(key, 0) | 1 << place
        return "".join(f"a{index}, " for index in read), list(bits.items())

    def bits(self, part: Part) -> str:
        return f"({self.every} if {part.truth} else 0)" if part.truth else part.bits

    def joined(self, parts: list[Part], *, is_all: bool) -> Part:
        """The bits that all parts have, or any; what truths about the state decide is not looked at."""
        neutral, sign = (self.every, " & ") if is_all else (0, " | ")
        known = [int(part.bits) for part in parts if part.is_constant]
        constant = reduce(and_ if is_all else or_, known, neutral)
        if constant == self.every - neutral:
            return Part(bits=str(constant))
        texts = [part.bits for part in parts if part.bits and not part.is_constant]
        texts += [str(constant)] if constant != neutral else []
        truths = [part.truth for part in parts if part.truth]
        condition = (" and " if is_all else " or ").join(truths).join("()")
        if not texts:
            return Part(truth=condition) if truths else Part(bits=str(neutral))
        bits = sign.join(texts).join("()")
        if not truths:
            return Part(bits=bits)
        return Part(bits=f"({bits} if {condition} else 0)" if is_all else f"({self.every} if {condition} else {bits})")

    def same(self, expr: Same) -> str:
        """Bits by the code of the state's choice."""
        mine, other = (expr.left, expr.right) if expr.left.owner is Owner.STATE else (expr.right, expr.left)
        rows = [
            sum(
                1 << place
                for place, one in enumerate(self.actions)
                if other.field.words[one[other.field.index]] == word
            )
            for word in mine.field.words
        ]
        return f"{self.table(tuple(rows))}[s{mine.field.index}]"

    def compare(self, expr: Compare) -> str:
        sides = _split(expr.left), _split(expr.right)
        if sides[0] is None or sides[1] is None:
            return self.tried(expr)
        # INVARIANT: left < right says state < action once what each side holds of the other has changed sides.
        mine = _total([*sides[0].state, *((-factor, part) for factor, part in sides[1].state)])
        theirs = _total([*((-factor, part) for factor, part in sides[0].action), *sides[1].action])
        own, other = number_source(mine), number_source(theirs)
        scale = math.lcm(own.denominator, other.denominator)
        bits: dict[int, int] = {}
        for value, found in self.tabulated(theirs, other.times(scale // other.denominator)):
            bits[value] = bits.get(value, 0) | found
        return self.searched(expr.op, own.times(scale // own.denominator), bits)

    def searched(self, op: Order, source: str, bits: dict[int, int]) -> str:
        """Source of the bits of the actions whose value stands in an order to that of the state."""
        if op is Order.EQ or op is Order.NE:
            found = f"{self.table(bits.get)}({source}, 0)"
            return found if op is Order.EQ else f"({self.every} ^ {found})"
        side, search = SEARCHED[op]
        values = sorted(bits)
        below = list(itertools.accumulate((bits[value] for value in values), initial=0))
        rows = below if side == "below" else [self.every ^ row for row in below]
        return f"{self.table(tuple(rows))}[{search.__name__}({self.table(tuple(values))}, {source})]"

    def tried(self, expr: Expr) -> str:
        """Source that tries each combination of the action's values that a condition reads."""
        names, rows = self.groups(expr)
        table = self.table(tuple((*codes, bits) for codes, bits in rows))
        return f"sum([bits for {names}bits in {table} if {truth_source(expr)}])"


@dataclass(frozen=True, slots=True)
class _Split:
    """A number as a sum of products: what reads the state or nothing, and what reads the action."""

    state: list[tuple[Fraction, Expr]]
    action: list[tuple[Fraction, Expr]]


def _split(expr: Expr, factor: Fraction = Fraction(1)) -> _Split | None:
    """The sum, times a factor; None where a part reads both."""
    owners = {read.owner for read in reads(expr)}
    if len(owners) < 2:
        own = [(factor, expr)]
        return _Split([], own) if owners == {Owner.ACTION} else _Split(own, [])
    match expr:
        case Compute(Arithmetic.ADD, args):
            parts = [_split(arg, factor) for arg in args]
        case Compute(Arithmetic.SUBTRACT, (left, right)):
            parts = [_split(left, factor), _split(right, -factor)]
        case Compute(Arithmetic.NEGATE, (arg,)):
            parts = [_split(arg, -factor)]
        case Compute(Arithmetic.MULTIPLY, (Number(value), arg)) | Compute(Arithmetic.MULTIPLY, (arg, Number(value))):
            parts = [_split(arg, factor * value)]
        case _:
            return None
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return _Split([one for part in known for one in part.state], [one for part in known for one in part.action])


def _total(parts: list[tuple[Fraction, Expr]]) -> Expr:
    """The sum as an expression again."""
    products = tuple(
        part if factor == 1 else Compute(Arithmetic.MULTIPLY, (Number(factor), part)) for factor, part in parts
    )
    return products[0] if len(products) == 1 else Compute(Arithmetic.ADD, products)
