"""The load-time report: what can be proved of a rule set before it runs. Read `verify` first.

The solver answers for all states at once; whatever it finds is replayed by the compiled function, and whatever it
denies is held against the census. An answer that does not survive is a fault, and unknown stays unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

from symbolic.claiming.monotone import monotony
from symbolic.claiming.trust import trusts
from symbolic.domain import Action, Domain, codes_of, domain_of
from symbolic.expression import Number, Owner, reads, walk
from symbolic.field import Kind, shortest
from symbolic.mending.invariant import InvariantError, largest
from symbolic.mending.transition import Transition
from symbolic.neighbours import names_of
from symbolic.proving.census import COMPLETE, SAMPLE, Census, census
from symbolic.proving.prover import Prover
from symbolic.proving.report import Answer, Finding, Level, Report, Sort
from symbolic.reading.batch import BatchError
from symbolic.reading.compiled import Codes
from symbolic.reading.residual import residual
from symbolic.solving.session import Atom, Point
from symbolic.solving.smt import Solver, default_solver
from symbolic.writing.text import expression_text, namer

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

MOST_TRIES: Final = 256
"""Values of one field, or rules, that are tried to make a counterexample smaller."""

Shown = tuple[tuple[str, str], ...]


def verify(
    ruleset: RuleSet[Any, Any],
    *,
    safe_stop: Action | None = None,
    transition: Transition | None = None,
    solver: Solver | None = None,
    complete: int = COMPLETE,
    sample: int = SAMPLE,
    watch: Callable[[str], None] = lambda step: None,
) -> Report:
    """Look for everything that is wrong with a rule set.

    Args:
        ruleset: the rules.
        safe_stop: the declared safe stop, looked at too where given.
        transition: a model of one step; where given, states that lead to one without a safe action are looked for.
        solver: answers; that of the process if None.
        complete: most points (states times actions) at which every answer is tried.
        sample: points at which it is tried where there are more.
        watch: told what is being looked at.

    Raises:
        RuleError: rules that do not fit together.
        ValueError: no rule at all.
    """
    if not ruleset.rules:
        raise ValueError("expected at least one rule to verify, got none; declare the rules first")
    watch("points")
    try:
        seen = census(ruleset, complete=complete, sample=sample)
    except BatchError:
        seen = Census(is_complete=False)
    prover = Prover(ruleset, seen, solver or default_solver())
    watch("consistency")
    consistent, inconsistency = _consistency(prover)
    watch("totality")
    total, witnesses, gaps = _totality(prover)
    findings = [*inconsistency, *gaps]
    for step in (_conflicts, _effects, _edges, _titles, _unused, monotony):
        watch(step.__name__.strip("_"))
        findings += step(prover)
    if safe_stop is not None:
        watch("safe stop")
        findings += _safe_stop(prover, codes_of(safe_stop))
    if transition is not None:
        watch("look-ahead")
        findings += _traps(prover, transition)
    findings += [_finding(prover, Sort.FAULT, Level.ERROR, (), text) for text in prover.faults]
    return Report(
        ruleset_sha256=ruleset.sha256,
        num_rules=len(ruleset.rules),
        consistent=consistent,
        total=total,
        witnesses=tuple(_shown(domain_of(ruleset.action), witness) for witness in witnesses),
        trusts=trusts(ruleset),
        findings=tuple(findings),
        num_queries=prover.num_queries,
        num_points=seen.num_states * seen.num_actions,
        is_complete=seen.is_complete,
    )


def _consistency(prover: Prover) -> tuple[Answer, list[Finding]]:
    """Whether any action is safe in any state."""
    match prover.ever_safe():
        case Point():
            return Answer.YES, []
        case None:
            text = "not known whether any action is safe in any state"
            return Answer.UNKNOWN, [_finding(prover, Sort.INCONSISTENT, Level.UNKNOWN, (), text)]
        case _:
            text = "no action is safe in any state"
            return Answer.NO, [_finding(prover, Sort.INCONSISTENT, Level.ERROR, tuple(prover.rules), text)]


def _totality(prover: Prover) -> tuple[Answer, list[Codes], list[Finding]]:
    """Witnesses, one more for each state in which those found so far all break a rule, until there is none (CEGIS)."""
    witnesses: list[Codes] = []
    state = prover.seen.stuck or tuple(field.low for field in domain_of(prover.ruleset.state).fields)
    while True:
        safe = next((action for action in prover.actions if not prover.broken(state, action)), None)
        if safe is None:
            return Answer.NO, [], [_counterexample(prover, state)]
        witnesses.append(safe)
        every = [tuple(Atom(rule=rule, action=action) for rule in prover.rules) for action in witnesses]
        match prover.find(every):
            case Point() as point:
                state = point.state
            case None:
                text = "not known whether some action is safe in every state"
                return Answer.UNKNOWN, [], [_finding(prover, Sort.NOT_TOTAL, Level.UNKNOWN, (), text)]
            case _:
                return Answer.YES, witnesses, []


def _counterexample(prover: Prover, state: Codes) -> Finding:
    """The state made small, and as few rules as leave no action in it."""
    codes = list(state)
    for field in domain_of(prover.ruleset.state).fields:
        for code in range(field.low, min(codes[field.index], field.low + MOST_TRIES)):
            smaller = [*codes[: field.index], code, *codes[field.index + 1 :]]
            if prover.is_stuck(tuple(smaller)):
                codes = smaller
                break
    rules = list(prover.rules)
    for rule in reversed(prover.rules):  # the least important goes first
        fewer = [other for other in rules if other != rule]
        if prover.is_stuck(tuple(codes), fewer):
            rules = fewer
    anchors = " and ".join(prover.ruleset.rules[rule].anchor for rule in rules)
    return _finding(prover, Sort.NOT_TOTAL, Level.ERROR, tuple(rules), f"no action keeps {anchors} here", tuple(codes))


def _conflicts(prover: Prover) -> Iterator[Finding]:
    """Pairs of rules of which each can be kept in some state, and both cannot."""
    everything = frozenset(prover.actions)
    for one, other in combinations(prover.rules, 2):
        if prover.forbids[one] | prover.forbids[other] != everything:
            continue
        both = [(Atom(rule=one, action=action), Atom(rule=other, action=action)) for action in prover.actions]
        each = [tuple(Atom(rule=r, action=a, is_broken=False) for a in prover.actions) for r in (one, other)]
        answer = prover.find([*both, *each])
        first, second = prover.ruleset.rules[one], prover.ruleset.rules[other]
        if answer is False:
            continue
        is_tie = first.priority == second.priority
        sort = Sort.TIE if is_tie else Sort.CONFLICT
        if answer is None:
            text = f"not known whether {first.anchor} and {second.anchor} can always be kept together"
            yield _finding(prover, sort, Level.UNKNOWN, (one, other), text)
        else:
            rank = "and neither ranks higher" if is_tie else f"and {first.anchor} ranks higher"
            text = f"{first.anchor} and {second.anchor} cannot both be kept here, {rank}"
            level = Level.ERROR if is_tie else Level.WARNING
            yield _finding(prover, sort, level, (one, other), text, answer.state)


def _effects(prover: Prover) -> Iterator[Finding]:
    """Rules that nothing breaks, or that forbid nothing but what others forbid."""
    for rule in prover.rules:
        anchor = prover.ruleset.rules[rule].anchor
        match prover.ever_broken(rule):
            case None:
                yield _finding(
                    prover, Sort.VACUOUS, Level.UNKNOWN, (rule,), f"not known whether {anchor} can be broken"
                )
            case False:
                yield _idle(prover, rule)
            case _:
                yield from _excess(prover, rule)


def _idle(prover: Prover, rule: int) -> Finding:
    """A rule that nothing breaks: by itself, or because something defeats it wherever it would apply."""
    one, bare = prover.ruleset.rules[rule], type(prover.ruleset)(prover.ruleset.state, prover.ruleset.action)
    bare.add(kind="forbid", name="bare", expression=one.declared.violation)
    alone = Prover(bare, Census(is_complete=False), prover.solver)
    if one.violation != one.declared.violation and alone.ever_broken(0) is not False:
        return _finding(prover, Sort.DEAD, Level.WARNING, (rule,), f"{one.anchor} is out of force wherever it applies")
    return _finding(prover, Sort.VACUOUS, Level.WARNING, (rule,), f"{one.anchor} forbids nothing in any state")


def _excess(prover: Prover, rule: int) -> Iterator[Finding]:
    """A rule that is implied by one other, or by all others together."""
    anchor = prover.ruleset.rules[rule].anchor
    match prover.ever_alone(rule):
        case None:
            text = f"not known whether {anchor} forbids anything that no other rule forbids"
            yield _finding(prover, Sort.REDUNDANT, Level.UNKNOWN, (rule,), text)
        case False:
            above = _implying(prover, rule)
            names = " and ".join(prover.ruleset.rules[other].anchor for other in above)
            sort = Sort.SHADOWED if len(above) == 1 else Sort.REDUNDANT
            yield _finding(prover, sort, Level.WARNING, (rule, *above), f"whatever {anchor} forbids, so does {names}")


def _implying(prover: Prover, rule: int) -> list[int]:
    """As few other rules as forbid all that a redundant rule forbids: one if one does."""
    others = [other for other in prover.rules if other != rule and prover.forbids[other] & prover.forbids[rule]]
    for other in others[:MOST_TRIES]:
        if prover.forbids[rule] <= prover.forbids[other] and _is_implied(prover, rule, [other]):
            return [other]
    for other in list(reversed(others))[:MOST_TRIES]:
        fewer = [one for one in others if one != other]
        if _is_implied(prover, rule, fewer):
            others = fewer
    return others


def _is_implied(prover: Prover, rule: int, others: Sequence[int]) -> bool:
    kept = [(Atom(rule=other, is_broken=False),) for other in others]
    return prover.find([(Atom(rule=rule),), *kept]) is False


def _edges(prover: Prover) -> Iterator[Finding]:
    """Rules that are broken only where some number stands at the end of its range: a bound may be off by one."""
    for rule in prover.rules:
        one = prover.ruleset.rules[rule]
        fields = [read.field for read in one.reads if read.owner is Owner.STATE]
        inner = [field.index for field in fields if field.kind is Kind.NUMBER and field.high - field.low > 1]
        known = prover.seen.broken.get(rule)
        is_inside = known is not None and all(
            field.low < known[0][field.index] < field.high for field in fields if field.index in inner
        )
        if not inner or is_inside or prover.ever_broken(rule) is False:
            continue
        if prover.find([(Atom(rule=rule),)], inside=inner) is False:
            text = f"{one.anchor} is broken only where a field has the lowest or highest value of its range"
            yield _finding(prover, Sort.EDGE_ONLY, Level.WARNING, (rule,), text)


def _titles(prover: Prover) -> Iterator[Finding]:
    """Rules whose title speaks of a number or a field that the condition does not hold."""
    names = {*domain_of(prover.ruleset.state).by_name, *domain_of(prover.ruleset.action).by_name}
    for place, rule in enumerate(prover.ruleset.rules):
        read = {one.field.name for one in (*rule.reads, *reads(rule.shown))}
        numbers = {shortest(abs(node.value)) for node in walk(rule.shown) if isinstance(node, Number)}
        said = re.findall(r"(?<![\w.])\d+(?:\.\d+)?", rule.title)
        alien = [text for text in said if shortest(float(text)) not in numbers]
        alien += [word for word in re.findall(r"\w+", f"{rule.title} {rule.source}") if word in names - read]
        if alien:
            text = f"the title or source of {rule.anchor} speaks of `{alien[0]}`, its condition does not"
            yield _finding(prover, Sort.TITLE, Level.WARNING, (place,), text)


def _unused(prover: Prover) -> Iterator[Finding]:
    """Fields of the state that no rule reads; a field of neighbours once, for all of them."""
    read = {one.field for rule in prover.ruleset.rules for one in rule.reads if one.owner is Owner.STATE}
    domain = domain_of(prover.ruleset.state)
    places = {one.name: [one] for one in domain.fields if one.present is None}
    for many in domain.neighbours.values():
        fields = zip(names_of(many.schema), zip(*(slot.fields for slot in many.slots), strict=True), strict=True)
        places |= {f"{many.name}.{name}": list(all_slots) for name, all_slots in fields}
    for name, some in places.items():
        asked = [other for one in some for other in (one, one.known) if other is not None]
        if not some[0].known_of and read.isdisjoint(asked):
            yield _finding(prover, Sort.UNUSED_FIELD, Level.WARNING, (), f"no rule reads `{name}`")


def _safe_stop(prover: Prover, stop: Codes) -> Iterator[Finding]:
    """Where the declared safe stop breaks a rule: the condition that describes all such states, and one of them."""
    names = namer(domain_of(prover.ruleset.state), domain_of(prover.ruleset.action))
    for rule in prover.rules:
        one = prover.ruleset.rules[rule]
        level = Level.ERROR if one.is_critical else Level.WARNING
        match prover.find([(Atom(rule=rule, action=stop),)]):
            case None:
                text = f"not known whether the safe stop can break {one.anchor}"
                yield _finding(prover, Sort.SAFE_STOP, Level.UNKNOWN, (rule,), text)
            case Point() as point:
                where = expression_text(residual(one.shown, stop, is_negated=one.kind == "require"), names)
                text = f"the safe stop breaks {one.anchor} wherever {where}"
                yield _finding(prover, Sort.SAFE_STOP, level, (rule,), text, point.state)
            case _:
                continue


def _traps(prover: Prover, transition: Transition) -> Sequence[Finding]:
    """States in which some action is safe, and which lead to one without whatever is done."""
    try:
        return largest(prover.ruleset, transition).report()
    except (InvariantError, BatchError) as error:
        return [_finding(prover, Sort.TRAP, Level.UNKNOWN, (), f"not known which states are lost: {error}")]


def _finding(
    prover: Prover, sort: Sort, level: Level, rules: Sequence[int], text: str, state: Codes | None = None
) -> Finding:
    shown = () if state is None else _shown(domain_of(prover.ruleset.state), state)
    anchors = tuple(prover.ruleset.rules[rule].anchor for rule in rules)
    return Finding(sort=sort, level=level, rules=anchors, text=text, state=shown)


def _shown(domain: Domain, codes: Codes) -> Shown:
    """Names of fields with the text of their values."""
    return tuple((field.name, field.show(codes[field.index])) for field in domain.fields)
