"""A small domain with optional fields and neighbours, and Hypothesis strategies for what is declared over it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

from hypothesis import strategies as st

from symbolic import Facts, RuleSet, State, domain_of, fixed, many
from symbolic.expression import (
    Compare,
    Expr,
    Join,
    Junction,
    Not,
    Number,
    Order,
    Owner,
    Quantified,
    Quantifier,
    Read,
)
from symbolic.field import Code
from tests.symbolic.strategies import Operate, truths


class Rider(State):
    gap: float | None = fixed(ge=0, le=1, step=0.5)
    mode: Literal["off", "fast"]
    yields: bool


class Crowd(State):
    level: float | None = fixed(ge=-1, le=1, step=0.5)
    mode: Literal["off", "slow", "fast"]
    alarm: bool | None
    riders: tuple[Rider, ...] = many(Rider, at_most=2)


DOMAIN = domain_of(Crowd)
RIDERS = DOMAIN.neighbours["riders"]
OWN = [Read(Owner.STATE, field) for field in DOMAIN.fields if field.present is None]
DONE = [Read(Owner.ACTION, field) for field in domain_of(Operate).fields]


def of_one(name: str) -> list[Read]:
    """Reads of a named neighbour."""
    return [Read(Owner.STATE, field, name) for field in domain_of(Rider).fields]


@st.composite
def declared(draw: st.DrawFn, named: tuple[str, ...] = (), depth: int = 2) -> Expr:
    """Conditions with quantifiers in them."""
    sources = [*OWN, *DONE, *(read for name in named for read in of_one(name))]
    sorts = ["leaf", "not", "join", "pair"][: 1 if depth == 0 else 4]
    if len(named) < 2:
        sorts += ["all", "any", "count"]
    match draw(st.sampled_from(sorts)):
        case "not":
            return Not(draw(declared(named, depth - 1)))
        case "join":
            parts = draw(st.lists(declared(named, depth - 1), min_size=2, max_size=3))
            return Join(draw(st.sampled_from([Junction.AND, Junction.OR])), tuple(parts))
        case "pair":
            pair = (draw(declared(named, depth - 1)), draw(declared(named, depth - 1)))
            return Join(draw(st.sampled_from([Junction.IMPLIES, Junction.IFF])), pair)
        case "all" | "any" | "count" as op:
            name = "op"[len(named)]
            body = draw(declared((*named, name), max(0, depth - 1)))
            found = Quantified(Quantifier(op), RIDERS, name, body)
            order, bound = draw(st.sampled_from(Order)), Number(Fraction(draw(st.integers(0, 2))))
            return found if op != "count" else Compare(order, found, bound)
        case _:
            return draw(truths(sources, 0))


quantified = declared().filter(lambda expr: "Quantified" in repr(expr))


@st.composite
def values(draw: st.DrawFn, schema: type[State], opened: int) -> dict[str, Any]:
    """What is known of the plain fields of a type: about one in `opened` is open, none if 0."""
    from symbolic import UNKNOWN

    known: dict[str, Any] = {}
    for field in domain_of(schema).declared:
        if hasattr(field, "slots"):
            continue
        code = draw(st.integers(field.low, field.high))
        known[field.name] = UNKNOWN if opened and draw(st.integers(1, opened)) == 1 else field.decode(code)
    return known


@st.composite
def crowds(draw: st.DrawFn, opened: int = 0) -> Facts:
    """Facts of a crowd, all known if 0; else about one field in `opened` is not, and perhaps there are more riders."""
    from symbolic import UNKNOWN

    riders: list[Any] = draw(st.lists(values(Rider, opened), max_size=2))
    if opened and len(riders) < 2 and draw(st.booleans()):
        riders.append(UNKNOWN)
    return Facts.of(Crowd, **draw(values(Crowd, opened)), riders=riders)


def permuted(facts: Facts) -> Facts:
    """The same facts with the two riders exchanged."""
    codes: list[Code] = list(facts.codes)
    first, second = ([slot.present.index, *(field.index for field in slot.fields)] for slot in RIDERS.slots)
    for one, other in zip(first, second, strict=True):
        codes[one], codes[other] = codes[other], codes[one]
    return Facts.from_codes(Crowd, tuple(codes))


@st.composite
def crowd_rules(draw: st.DrawFn, most: int = 3) -> RuleSet[Crowd, Operate]:
    """Rules with quantifiers, some with a permit, one that may override."""
    rules = RuleSet(Crowd, Operate)
    has_permit = draw(st.booleans())
    if has_permit:
        rules.add(kind="permit", name="permit", priority=100, expression=draw(quantified))
    for index, expression in enumerate(draw(st.lists(quantified, min_size=1, max_size=most))):
        rules.add(
            kind=draw(st.sampled_from(["forbid", "require"])),
            name=f"rule_{index}",
            priority=draw(st.integers(0, 99)),
            expression=expression,
            unless=["permit"] if has_permit and draw(st.booleans()) else (),
            overrides=[f"rule_{index - 1}"] if index and draw(st.integers(0, 3)) == 0 else (),
        )
    return rules
