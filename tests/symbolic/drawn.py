"""Conditions drawn from a seed: faster than Hypothesis where a million points are wanted, and without shrinking."""

from __future__ import annotations

from fractions import Fraction
from random import Random
from typing import Any, Final, cast

from symbolic import domain_of
from symbolic.expression import (
    Arithmetic,
    Choose,
    Compare,
    Compute,
    Constant,
    Expr,
    Join,
    Junction,
    Member,
    Not,
    Number,
    Order,
    Owner,
    Quantified,
    Quantifier,
    Read,
    Same,
    is_number,
    reads,
)
from symbolic.field import Kind
from symbolic.neighbours import Neighbours

CONSTANTS: Final = [
    Number(Fraction(text)) for text in ("-2", "-1", "-1/2", "0", "1/3", "3/10", "1/2", "7/10", "1", "2")
]
SIGNED: Final = [one for one in CONSTANTS if one.value != 0]


def condition(rng: Random, sources: list[Read], depth: int = 3) -> Expr:
    """A condition that reads at least one field."""
    while True:
        found = _truth(rng, sources, depth)
        if reads(found):
            return found


def declared(rng: Random, sources: list[Read], over: Neighbours, names: tuple[str, ...] = ("o", "p")) -> Expr:
    """A condition with a quantifier in it, and perhaps another in that."""
    name, *rest = names
    bound = [*sources, *(Read(Owner.STATE, field, name) for field in domain_of(cast(Any, over.schema)).fields)]
    body = declared(rng, bound, over, tuple(rest)) if rest and rng.random() < 0.3 else condition(rng, bound, 1)
    found: Expr = Quantified(rng.choice(list(Quantifier)), over, name, body)
    if is_number(found):
        found = Compare(rng.choice(list(Order)), found, rng.choice(CONSTANTS))
    if rng.random() < 0.5:
        return found
    return Join(rng.choice([Junction.AND, Junction.OR]), (found, condition(rng, sources, 1)))


def _truth(rng: Random, sources: list[Read], depth: int) -> Expr:
    if depth == 0 or rng.random() < 0.25:
        return _leaf(rng, sources)
    part = depth - 1
    match rng.choice(["and", "or", "implies", "iff", "not", "constant"]):
        case "not":
            return Not(_truth(rng, sources, part))
        case "constant":
            return Join(rng.choice(list(Junction)), (Constant(rng.random() < 0.5), _truth(rng, sources, part)))
        case "and" | "or" as name:
            return Join(Junction(name), tuple(_truth(rng, sources, part) for _ in range(rng.choice([2, 2, 3]))))
        case name:
            return Join(Junction(name), (_truth(rng, sources, part), _truth(rng, sources, part)))


def _leaf(rng: Random, sources: list[Read]) -> Expr:
    choices = [read for read in sources if read.field.kind is Kind.CHOICE]
    match rng.choice(["compare", "compare", "compare", "member", "flag", "same"]):
        case "member":
            read = rng.choice(choices)
            codes = rng.sample(range(read.field.high + 1), rng.randint(1, read.field.high + 1))
            return Member(read, tuple(sorted(codes)))
        case "flag":
            return rng.choice([read for read in sources if read.field.kind is Kind.FLAG])
        case "same":
            return Same(rng.choice(choices), rng.choice(choices))
        case _:
            return Compare(rng.choice(list(Order)), number(rng, sources, 2), number(rng, sources, 2))


def number(rng: Random, sources: list[Read], depth: int) -> Expr:
    """A number; what it divides by is never 0."""
    fields = [read for read in sources if read.field.kind is Kind.NUMBER]
    if depth == 0 or rng.random() < 0.3:
        return rng.choice(CONSTANTS) if rng.random() < 0.3 else rng.choice(fields)
    part = depth - 1
    match rng.choice([*Arithmetic, "choose"]):
        case "choose":
            return Choose(_truth(rng, sources, part), number(rng, sources, part), number(rng, sources, part))
        case Arithmetic.NEGATE | Arithmetic.ABSOLUTE as op:
            return Compute(op, (number(rng, sources, part),))
        case Arithmetic.ADD | Arithmetic.MINIMUM | Arithmetic.MAXIMUM as op:
            return Compute(op, tuple(number(rng, sources, part) for _ in range(rng.choice([2, 2, 3]))))
        case Arithmetic.FLOOR_DIVIDE | Arithmetic.MODULO as op:
            return Compute(op, (number(rng, sources, part), _divisor(rng, fields)))
        case op:
            return Compute(Arithmetic(op), (number(rng, sources, part), number(rng, sources, part)))


def _divisor(rng: Random, fields: list[Read]) -> Expr:
    match rng.choice(["constant", "above", "below"]):
        case "above":
            return Compute(Arithmetic.MAXIMUM, (rng.choice(fields), Number(Fraction(1, 3))))
        case "below":
            return Compute(Arithmetic.MINIMUM, (rng.choice(fields), Number(Fraction(-1, 2))))
        case _:
            return rng.choice(SIGNED)


def linear(rng: Random, sources: list[Read]) -> Expr:
    """A comparison of sums, each field with a factor of its own, some of them bracketed under one more."""
    fields = [read for read in sources if read.field.kind is Kind.NUMBER]
    inner = [_scaled(rng, rng.choice(fields)) for _ in range(2)]
    sides = [_scaled(rng, Compute(Arithmetic.ADD, tuple(inner))), _scaled(rng, rng.choice(fields))]
    total = Compute(rng.choice([Arithmetic.ADD, Arithmetic.SUBTRACT]), tuple(sides))
    return Compare(rng.choice(list(Order)), total, rng.choice(CONSTANTS))


def _scaled(rng: Random, part: Expr) -> Expr:
    pair = (rng.choice(SIGNED), part)
    return Compute(Arithmetic.MULTIPLY, pair if rng.random() < 0.5 else (part, pair[0]))
