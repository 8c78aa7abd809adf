"""What is told besides proofs: titles that speak of something else, fields that nobody reads, the safe stop."""

from __future__ import annotations

import re
from collections.abc import Iterator

from symbolic.expression import Constant, Number, Owner, Past, Remaining, reads, walk
from symbolic.field import shortest
from symbolic.neighbours import names_of
from symbolic.proving.prover import Prover
from symbolic.proving.report import Finding, Level, Sort
from symbolic.reading.residual import residual
from symbolic.solving.question import Codes, Point
from symbolic.writing.text import expression_text, namer


def titles(prover: Prover) -> Iterator[Finding]:
    """Rules whose title speaks of a number or a field that the condition does not hold."""
    names = {*prover.state.by_name, *prover.action.by_name}
    for place, rule in enumerate(prover.ruleset.rules):
        read = {one.field.name for one in (*rule.reads, *reads(rule.shown))}
        numbers = {shortest(abs(node.value)) for node in walk(rule.shown) if isinstance(node, Number)}
        past = [node for node in walk(rule.shown) if isinstance(node, Past | Remaining)]
        numbers |= {shortest(node.window_s) for node in past if node.window_s is not None}
        title = "" if rule.title == rule.name.replace("_", " ") else rule.title  # made of the name: nobody wrote it
        said = re.findall(r"(?<![\w.])\d+(?:\.\d+)?", title)
        alien = [text for text in said if shortest(float(text)) not in numbers]
        alien += [word for word in re.findall(r"\w+", f"{title} {rule.source}") if word in names - read]
        if alien:
            text = f"the title or source of {rule.anchor} speaks of `{alien[0]}`, its condition does not"
            yield prover.finding(Sort.TITLE, Level.WARNING, (place,), text)


def unused(prover: Prover) -> Iterator[Finding]:
    """Fields of the state that no rule reads; a field of neighbours once, for all of them."""
    rules = prover.ruleset.rules
    every = [one for rule in rules for one in (*rule.reads, *reads(rule.shown))]
    every += [one for operator in prover.ruleset.memory.operators for arg in operator.args for one in reads(arg)]
    read = {one.field for one in every if one.owner is Owner.STATE}
    places = {one.name: [one] for one in prover.state.fields if one.present is None}
    for many in prover.state.neighbours.values():
        fields = zip(names_of(many.schema), zip(*(slot.fields for slot in many.slots), strict=True), strict=True)
        places |= {f"{many.name}.{name}": list(all_slots) for name, all_slots in fields}
    for name, some in places.items():
        asked = [other for one in some for other in (one, one.known) if other is not None]
        if not some[0].known_of and read.isdisjoint(asked):
            yield prover.finding(Sort.UNUSED_FIELD, Level.WARNING, (), f"no rule reads `{name}`")


def safe_stop(prover: Prover, stop: Codes) -> Iterator[Finding]:
    """Where the declared safe stop breaks a rule: the condition that describes all such states, and one of them."""
    names = namer(prover.state, prover.action)
    for rule in prover.rules:
        one = prover.ruleset.rules[rule]
        match prover.ask(prover.left(rule, stop)):
            case None:
                text = f"not known whether the safe stop can break {one.anchor}"
                yield prover.finding(Sort.SAFE_STOP, Level.UNKNOWN, (rule,), text)
            case Point() as point:
                where = residual(one.shown, stop, is_negated=one.kind == "require")
                place = "in every state" if where == Constant(True) else f"wherever {expression_text(where, names)}"
                text = f"the safe stop breaks {one.anchor} {place}"
                level = Level.ERROR if one.is_critical else Level.WARNING
                yield prover.finding(Sort.SAFE_STOP, level, (rule,), text, point.state)
            case _:
                continue
