"""Claim monotonicity: no message allows what would be forbidden without it, unless the rule trusts the sender's role.

For one rule: wherever it forbids an action in silence, it forbids it whatever those say whom it does not trust. A set
of such rules has no larger compliant set with messages than without. The proof stands on a state type with each such
claim twice, as heard and as in silence; a claim that is unknown in silence may there be anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from symbolic.claiming.told import Told, told, told_by
from symbolic.claiming.trust import trusted
from symbolic.declaration import RuleError
from symbolic.derivation import derived
from symbolic.domain import Domain, domain_of
from symbolic.expression import (
    Compare,
    Expr,
    Join,
    Junction,
    Member,
    Not,
    Number,
    Order,
    Owner,
    Read,
    renamed,
)
from symbolic.field import Kind
from symbolic.proving.census import Census, census
from symbolic.proving.named import Named
from symbolic.proving.prover import Prover
from symbolic.proving.report import Finding, Level, Sort
from symbolic.reading.batch import BatchError
from symbolic.solving.question import Point
from symbolic.solving.smt import default_solver

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

GLANCE: Final = 10_000
"""Points that are tried first where a set is about to run: a tenth of what a report tries."""

SILENT: Final = "_in_silence"
"""Ends the name of the copy of a claim."""


def enlarging(ruleset: RuleSet[Any, Any]) -> tuple[RuleSet[Any, Any], tuple[str, ...]]:
    """A rule set over doubled fields, and the anchor of the rule that each of its rules is about.

    A rule of it is broken exactly where messages of roles that the original does not trust allow what that forbids in
    silence. No rule at all where no rule reads what such messages say.
    """
    every = told(ruleset)
    domain = domain_of(ruleset.state)
    copies = {name + SILENT: one.field for name, one in every.items()}
    taken = sorted(copies.keys() & domain.by_name.keys())
    if taken:
        raise RuleError(f"expected no field with the name of a claim in silence, got `{taken[0]}`; rename it")
    doubled = derived(f"{domain.name}Heard", {**domain.by_name, **copies})
    found: RuleSet[Any, Any] = type(ruleset)(doubled, ruleset.action)
    anchors: dict[str, str] = {}
    for rule in ruleset.rules:
        open_to = [one for one in told_by(rule, every) if one.roles - trusted(ruleset, rule)]
        if open_to:
            alone = [_without(one, trusted(ruleset, rule)) for one in open_to]
            enlarged = _enlarged(rule.violation, ruleset.assumption, alone, domain_of(doubled))
            found.add(kind="forbid", name=rule.name, expression=enlarged)
            anchors[rule.name] = rule.anchor
    return found, tuple(anchors[rule.name] for rule in found.rules)


def _without(told: Told, roles: frozenset[str]) -> Told:
    """What is told as it is where those whom a rule does not trust say nothing: it still depends on whom it trusts."""
    return replace(told, silent=None) if told.roles & roles else told


def _enlarged(violation: Expr, assumption: Expr | None, told: Sequence[Told], doubled: Domain) -> Expr:
    """Forbidden in silence, and not as heard."""
    heard = {name: Read(Owner.STATE, field) for name, field in doubled.by_name.items()}
    quiet = heard | {one.field.name: heard[one.field.name + SILENT] for one in told}
    known = [part for one in told for part in _is_silent(quiet[one.field.name], one)]
    if assumption is not None:
        known.append(_over(assumption, heard))
    return Join(Junction.AND, (*known, _over(violation, quiet), Not(_over(violation, heard))))


def _is_silent(copy: Read, told: Told) -> Iterator[Expr]:
    """That a copy has the value of silence; nothing where that is unknown."""
    if told.silent is None:
        return
    match told.field.kind:
        case Kind.FLAG:
            yield copy if told.silent else Not(copy)
        case Kind.CHOICE:
            yield Member(copy, (told.silent,))
        case Kind.NUMBER:
            yield Compare(Order.EQ, copy, Number(told.silent * told.field.step))


def _over(expr: Expr, fields: Mapping[str, Read]) -> Expr:
    """The expression over other fields of the state, by name; fields of the action stay."""
    return renamed(expr, lambda read: fields[read.field.name] if read.owner is Owner.STATE else read)


def monotony(prover: Prover) -> Iterator[Finding]:
    """A finding for each rule that a message of someone it does not trust can switch off, with what shows it."""
    doubled, anchors = enlarging(prover.ruleset)
    if not anchors:
        return
    try:
        seen = census(doubled, sample=prover.sample)
    except BatchError:
        seen = Census()
    inner = Prover(doubled, seen, prover.solver, answers=prover.answers, complete=prover.complete, sample=prover.sample)
    for place, anchor in enumerate(anchors):
        match inner.seen.broken.get(place) or inner.ask(inner.breaks(place)):
            case None:
                text = f"not known whether a message can allow what {anchor} forbids without it"
                yield Finding(sort=Sort.CLAIM, level=Level.UNKNOWN, rules=(anchor,), text=text)
            case Point() as point:
                yield _shown(doubled, anchor, place, point)
            case _:
                continue
    prover.take(inner)


def _shown(doubled: RuleSet[Any, Any], anchor: str, place: int, point: Point) -> Finding:
    domain = domain_of(doubled.state)
    read = {one.field.name for one in doubled.rules[place].reads}
    state = tuple(
        (one.name.removesuffix(SILENT) + " in silence" * one.name.endswith(SILENT), one.show(point.state[one.index]))
        for one in domain.fields
        if not one.name.endswith(SILENT) or one.name in read
    )
    done = ", ".join(f"{one.name} {one.show(point.action[one.index])}" for one in domain_of(doubled.action).fields)
    text = f"a message allows {done} here, which {anchor} forbids without it; say `trusts`, or let claims forbid only"
    return Finding(sort=Sort.CLAIM, level=Level.ERROR, rules=(anchor,), text=text, state=state)


def demand_monotone(ruleset: RuleSet[Any, Any]) -> tuple[str, ...]:
    """Refuse a set that a message of someone it does not trust can loosen; kept by the hash of the set.

    Returns:
        Anchors of the rules of which that is not known; `verify` reports them too.

    Raises:
        RuleError: there is such a message; the text shows it.
    """
    return _monotone(Named(ruleset))


@lru_cache(maxsize=64)
def _monotone(named: Named) -> tuple[str, ...]:
    unknown: list[str] = []
    for one in monotony(Prover(named.ruleset, Census(), default_solver(), sample=GLANCE)):
        if one.level is Level.ERROR:
            shown = ", ".join(f"{name} {text}" for name, text in one.state)
            raise RuleError(f"{one.text}; such as where {shown}")
        unknown += one.rules
    return tuple(unknown)
