"""What is told besides proofs: titles that speak of something else, fields that nobody reads, the safe stop."""

from __future__ import annotations

import re
from collections.abc import Iterator

from symbolic.expression import Constant, Number, Owner, walk
from symbolic.field import shortest
from symbolic.proving.prover import Prover
from symbolic.proving.report import Finding, Level, Sort
from symbolic.solving.question import Codes, Point
from symbolic.writing.text import expression_text, namer


def titles(prover: Prover) -> Iterator[Finding]:
    """Rules whose title speaks of a number or a field that the condition does not hold."""
    names = {*prover.state.by_name, *prover.action.by_name}
    for place, rule in enumerate(prover.ruleset.rules):
        read = {one.field.name for one in rule.reads}
        numbers = {shortest(abs(node.value)) for node in walk(rule.expression) if isinstance(node, Number)}
        said = re.findall(r"(?<![\w.])\d+(?:\.\d+)?", rule.title)
        alien = [text for text in said if shortest(float(text)) not in numbers]
        alien += [word for word in re.findall(r"\w+", f"{rule.title} {rule.source}") if word in names - read]
        if alien:
            text = f"the title or source of {rule.anchor} speaks of `{alien[0]}`, its condition does not"
            yield prover.finding(Sort.TITLE, Level.WARNING, (place,), text)


def unused(prover: Prover) -> Iterator[Finding]:
    """Fields of the state that no rule reads."""
    read = {one.field.name for rule in prover.ruleset.rules for one in rule.reads if one.owner is Owner.STATE}
    for field in prover.state.fields:
        if field.name not in read:
            yield prover.finding(Sort.UNUSED_FIELD, Level.WARNING, (), f"no rule reads `{field.name}`")


def safe_stop(prover: Prover, stop: Codes) -> Iterator[Finding]:
    """Where the declared safe stop breaks a rule: the condition that describes all such states, and one of them."""
    names = namer(prover.state, prover.action)
    for rule in prover.rules:
        one, where = prover.ruleset.rules[rule], prover.left(rule, stop)
        match prover.ask(where):
            case None:
                text = f"not known whether the safe stop can break {one.anchor}"
                yield prover.finding(Sort.SAFE_STOP, Level.UNKNOWN, (rule,), text)
            case Point() as point:
                place = "in every state" if where == Constant(True) else f"wherever {expression_text(where, names)}"
                text = f"the safe stop breaks {one.anchor} {place}"
                level = Level.ERROR if one.is_critical else Level.WARNING
                yield prover.finding(Sort.SAFE_STOP, level, (rule,), text, point.state)
            case _:
                continue
