"""What each rule is good for: rules that nothing breaks, and rules that forbid only what others forbid."""

from __future__ import annotations

from collections.abc import Iterator

from symbolic.expression import Constant, Expr, Join, Junction, Owner, reads
from symbolic.proving.census import inner
from symbolic.proving.prover import Prover
from symbolic.proving.report import Finding, Level, Sort
from symbolic.reading.residual import residual
from symbolic.solving.question import Point, spans_of
from symbolic.unrolling import unrolled


def effects(prover: Prover) -> Iterator[Finding]:
    """Rules that nothing breaks, or that forbid nothing but what others forbid."""
    for rule in prover.rules:
        anchor = prover.anchor(rule)
        match prover.seen.broken.get(rule) or prover.ask(prover.breaks(rule)):
            case None:
                text = f"not known whether {anchor} can be broken"
                yield prover.finding(Sort.VACUOUS, Level.UNKNOWN, (rule,), text)
            case False:
                yield _idle(prover, rule)
            case _:
                yield from _excess(prover, rule)


def _idle(prover: Prover, rule: int) -> Finding:
    """A rule that nothing breaks: always defeated, never applying, or applying where no action breaks it."""
    anchor, violation = prover.anchor(rule), prover.breaks(rule)
    bare = prover.ruleset.memory.plain(unrolled(prover.ruleset.rules[rule].declared.violation))
    if violation != bare and isinstance(prover.ask(bare), Point):
        return prover.finding(Sort.DEAD, Level.WARNING, (rule,), f"{anchor} is out of force wherever it applies")
    guard = guard_of(bare)
    if guard is not None and prover.ask(guard) is False:
        return prover.finding(Sort.VACUOUS, Level.WARNING, (rule,), f"{anchor} applies in no state")
    text = f"{anchor} applies, but no action breaks it in any state"
    return prover.finding(Sort.NEVER_BINDING, Level.WARNING, (rule,), text)


def guard_of(violation: Expr) -> Expr | None:
    """Where a rule applies: those parts of what breaks it that speak of the state alone; None where none does."""
    left = residual(violation, None)
    parts = left.args if isinstance(left, Join) and left.op is Junction.AND else (left,)
    own = tuple(one for one in parts if reads(one) and all(read.owner is Owner.STATE for read in reads(one)))
    if left == Constant(False):
        return left
    return None if not own else own[0] if len(own) == 1 else Join(Junction.AND, own)


def _excess(prover: Prover, rule: int) -> Iterator[Finding]:
    """A rule that is implied by one other, or by several together."""
    anchor = prover.anchor(rule)
    above = implying(prover, rule)
    if above is None:
        text = f"not known whether {anchor} forbids anything that no other rule forbids"
        yield prover.finding(Sort.REDUNDANT, Level.UNKNOWN, (rule,), text)
    elif above:
        names = " and ".join(map(prover.anchor, above))
        sort = Sort.SHADOWED if len(above) == 1 else Sort.REDUNDANT
        text = f"whatever {anchor} forbids, so {'does' if len(above) == 1 else 'do'} {names}"
        yield prover.finding(sort, Level.WARNING, (rule, *above), text)


def implying(prover: Prover, rule: int) -> tuple[int, ...] | None:
    """As few other rules as forbid all that a rule forbids, one if one does; none where none do, None if not known.

    Points that break the rule are collected on the way: a rule that is kept at one of them implies nothing.
    """
    if rule in prover.seen.alone:
        return ()
    others = [one for one in prover.rules if one != rule and prover.forbids[one] & prover.forbids[rule]]
    places = [prover.broken(point.state, point.action) - {rule} for point in prover.seen.crowded.get(rule, ())]
    for one in others:
        if prover.forbids[rule] & ~prover.forbids[one] or any(one not in place for place in places):
            continue
        match prover.ask(prover.breaks(rule), prover.keeps(one)):
            case Point() as point:
                places.append(prover.broken(point.state, point.action) - {rule})
            case False:
                return (one,)
            case _:
                continue
    return _together(prover, rule, places)


def _together(prover: Prover, rule: int, places: list[frozenset[int]]) -> tuple[int, ...] | None:
    """Several rules, added while something is left that they allow; then those left out that are not needed."""
    chosen: list[int] = []
    while True:
        left = [place for place in places if not place & set(chosen)]
        if not all(left):
            return ()
        if left:
            chosen.append(max(sorted(frozenset().union(*left)), key=lambda one: sum(one in place for place in left)))
            continue
        match prover.ask(prover.breaks(rule), *map(prover.keeps, chosen)):
            case Point() as point:
                places.append(prover.broken(point.state, point.action) - {rule})
            case None:
                return None
            case _:
                break
    for one in sorted(chosen, reverse=True):  # the least important goes first
        fewer = [other for other in chosen if other != one]
        if prover.ask(prover.breaks(rule), *map(prover.keeps, fewer)) is False:
            chosen = fewer
    return tuple(sorted(chosen))


def edges(prover: Prover) -> Iterator[Finding]:
    """Rules that are broken only where some number stands at the end of its range: a bound may be off by one."""
    for rule in prover.rules:
        one = prover.ruleset.rules[rule]
        fields = inner(one)
        if not fields or rule in prover.seen.inside:
            continue
        if rule not in prover.seen.broken and not isinstance(prover.ask(prover.breaks(rule)), Point):
            continue
        spans = [
            (low + 1, high - 1) if index in fields else (low, high)
            for index, (low, high) in enumerate(spans_of(prover.state))
        ]
        if prover.ask(prover.breaks(rule), spans=tuple(spans)) is False:
            text = f"{one.anchor} is broken only where a field has the lowest or highest value of its range"
            yield prover.finding(Sort.EDGE_ONLY, Level.WARNING, (rule,), text)
