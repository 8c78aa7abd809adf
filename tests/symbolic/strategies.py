"""A small domain that can be enumerated, and Hypothesis strategies for expressions, facts and rule sets over it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Literal

from hypothesis import strategies as st

from symbolic import Action, Facts, RuleSet, State, actions_of, domain_of, fixed, whole
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
    Read,
    Same,
    reads,
)
from symbolic.field import Code, FieldSpec, Kind


class Plant(State):
    level: float = fixed(ge=-1, le=2, step=0.5)
    rate: float = fixed(ge=0, le=0.9, step=0.3)
    count: int = whole(ge=-1, le=2)
    mode: Literal["off", "slow", "fast"]
    wanted: Literal["slow", "fast", "burst"]
    alarm: bool


class Operate(Action):
    valve: float = fixed(ge=-0.5, le=0.5, step=0.5)
    mode: Literal["off", "fast"]
    hold: bool


ACTIONS = actions_of(Operate)
STATE_READS = [Read(Owner.STATE, field) for field in domain_of(Plant).fields]
ALL_READS = STATE_READS + [Read(Owner.ACTION, field) for field in domain_of(Operate).fields]


def every_state(facts: Facts) -> Iterator[Facts]:
    """All exact facts that some facts allow."""
    spans = [range(low, high + 1) for low, high in (facts.span(field) for field in domain_of(Plant).fields)]
    return (Facts.from_codes(Plant, codes) for codes in itertools.product(*spans))


def codes(field: FieldSpec) -> st.SearchStrategy[int]:
    return st.integers(field.low, field.high)


exact_facts = st.tuples(*(codes(field) for field in domain_of(Plant).fields)).map(
    lambda found: Facts.from_codes(Plant, found)
)
actions = st.sampled_from(ACTIONS)


@st.composite
def open_codes(draw: st.DrawFn, field: FieldSpec) -> Code:
    sort = draw(st.sampled_from(["exact", "exact", "interval", "unknown"]))
    if sort == "unknown":
        return None
    first = draw(codes(field))
    if sort == "exact" or field.kind is not Kind.NUMBER:
        return first
    low, high = sorted((first, draw(codes(field))))
    return low if low == high else (low, high)


open_facts = st.tuples(*(open_codes(field) for field in domain_of(Plant).fields)).map(
    lambda found: Facts.from_codes(Plant, found)
)

constants = st.sampled_from(["-2", "-1", "-1/2", "0", "1/3", "3/10", "1/2", "7/10", "1", "3/2", "2"]).map(
    lambda text: Number(Fraction(text))
)


def divisors(sources: list[Read]) -> st.SearchStrategy[Expr]:
    """Numbers that are never 0: constants of either sign, and a field kept away from it."""
    fields = [read for read in sources if read.field.kind is Kind.NUMBER]
    above = st.sampled_from(fields).map(lambda read: Compute(Arithmetic.MAXIMUM, (read, Number(Fraction(1, 3)))))
    below = st.sampled_from(fields).map(lambda read: Compute(Arithmetic.MINIMUM, (read, Number(Fraction(-1, 2)))))
    return st.one_of(constants.filter(lambda one: one.value != 0), above, below)


def numbers(sources: list[Read], depth: int) -> st.SearchStrategy[Expr]:
    leaves = st.one_of(st.sampled_from([read for read in sources if read.field.kind is Kind.NUMBER]), constants)
    if depth == 0:
        return leaves
    part = numbers(sources, depth - 1)
    many = st.sampled_from([Arithmetic.ADD, Arithmetic.MINIMUM, Arithmetic.MAXIMUM])
    two = st.sampled_from([Arithmetic.SUBTRACT, Arithmetic.MULTIPLY])
    divided = st.sampled_from([Arithmetic.FLOOR_DIVIDE, Arithmetic.MODULO])
    one = st.sampled_from([Arithmetic.NEGATE, Arithmetic.ABSOLUTE])
    return st.one_of(
        leaves,
        leaves,
        st.builds(Compute, many, st.lists(part, min_size=2, max_size=3).map(tuple)),
        st.builds(Compute, two, st.tuples(part, part)),
        st.builds(Compute, divided, st.tuples(part, divisors(sources))),
        st.builds(Compute, one, st.tuples(part)),
        st.builds(Choose, truths(sources, depth - 1), part, part),
    )


def _member(read: Read) -> st.SearchStrategy[Expr]:
    every = list(range(read.field.high + 1))
    return st.sets(st.sampled_from(every), min_size=1).map(lambda found: Member(read, tuple(sorted(found))))


def truths(sources: list[Read], depth: int = 2) -> st.SearchStrategy[Expr]:
    """Conditions over some fields."""
    choices = [read for read in sources if read.field.kind is Kind.CHOICE]
    flags = [read for read in sources if read.field.kind is Kind.FLAG]
    sides = numbers(sources, min(depth, 1))
    leaves: list[st.SearchStrategy[Any]] = [
        st.builds(Compare, st.sampled_from(Order), sides, sides),
        st.sampled_from(choices).flatmap(_member),
        st.sampled_from(flags),
        st.builds(Same, st.sampled_from(choices), st.sampled_from(choices)),
    ]
    if depth == 0:
        return st.one_of(*leaves)
    part = st.one_of(truths(sources, depth - 1), truths(sources, depth - 1), st.builds(Constant, st.booleans()))
    many = st.sampled_from([Junction.AND, Junction.OR])
    two = st.sampled_from([Junction.IMPLIES, Junction.IFF])
    return st.one_of(
        *leaves,
        st.builds(Not, part),
        st.builds(Join, many, st.lists(part, min_size=2, max_size=3).map(tuple)),
        st.builds(Join, two, st.tuples(part, part)),
    )


conditions = truths(ALL_READS).filter(lambda expr: bool(reads(expr)))
permitted = truths(ALL_READS, 1).filter(lambda expr: bool(reads(expr)))
state_conditions = truths(STATE_READS).filter(lambda expr: bool(reads(expr)))


@st.composite
def rule_sets(draw: st.DrawFn, most: int = 4) -> RuleSet[Plant, Operate]:
    """Rules, some with permits as exceptions, some that override earlier ones."""
    rules = RuleSet(Plant, Operate)
    permits = [f"permit_{index}" for index in range(draw(st.sampled_from([0, 0, 1, 2])))]
    for name in permits:
        rules.add(kind="permit", name=name, priority=100, expression=draw(permitted))
    for index, expression in enumerate(draw(st.lists(conditions, min_size=1, max_size=most))):
        earlier = [f"rule_{other}" for other in range(index)]
        rules.add(
            kind=draw(st.sampled_from(["forbid", "require"])),
            name=f"rule_{index}",
            priority=draw(st.integers(0, 99)),
            expression=expression,
            unless=draw(st.sets(st.sampled_from(permits))) if permits else (),
            overrides=draw(st.sets(st.sampled_from(earlier), max_size=1)) if permits and earlier else (),
        )
    return rules
