"""Fields that hold what others say: claims, and what a past-time operator remembers of claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from symbolic.domain import domain_of
from symbolic.expression import Owner, Past, Remaining, Tense, reads
from symbolic.facts import Facts
from symbolic.field import Code, FieldSpec
from symbolic.reading.reference import NO, YES, truth
from symbolic.remembering.memory import Operator

if TYPE_CHECKING:
    from symbolic.rule import Rule
    from symbolic.rules import RuleSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A field of the state that depends on messages."""

    field: FieldSpec
    roles: frozenset[str]
    """Whose messages."""
    silent: int | None
    """Its code where nobody says anything; None: unknown."""


def told(ruleset: RuleSet[Any, Any]) -> dict[str, Told]:
    """Every field that depends on messages, by name."""
    domain = domain_of(ruleset.state)
    found = {
        one.name: Told(field=one, roles=frozenset({one.claim.by}), silent=one.claim.silent)
        for one in domain.fields
        if one.claim is not None
    }
    for operator in ruleset.memory.operators:  # inner ones come first
        inner = [found[read.field.name] for arg in operator.args for read in reads(arg) if read.field.name in found]
        if inner:
            roles = frozenset().union(*(one.roles for one in inner))
            silent = _in_silence(operator, _quiet(ruleset, found))
            found[operator.name] = Told(field=domain.field(operator.name), roles=roles, silent=silent)
    return found


def told_by(rule: Rule, every: Mapping[str, Told]) -> tuple[Told, ...]:
    """Those that a rule reads."""
    names = [one.field.name for one in rule.reads if one.owner is Owner.STATE]
    return tuple(every[name] for name in names if name in every)


def _quiet(ruleset: RuleSet[Any, Any], found: Mapping[str, Told]) -> Facts:
    """All that is known where nobody says anything, whatever is perceived."""
    codes: list[Code] = [None] * len(domain_of(ruleset.state).fields)
    for one in found.values():
        codes[one.field.index] = one.silent
    return Facts.from_codes(ruleset.state, tuple(codes))


def _in_silence(operator: Operator, quiet: Facts) -> int | None:
    """What is remembered where nobody ever says anything, if that does not depend on what is perceived."""
    match operator.node:
        case Remaining(window_s=window, step_s=step):
            return int(window / step) if truth(operator.args[0], quiet) is NO else None  # nothing is ever due
        case Past(op=Tense.SINCE):
            return 0 if truth(operator.args[1], quiet) is NO else None
        case Past(op=op):
            held = truth(operator.args[0], quiet)
            if held is YES and op in (Tense.ONCE, Tense.HISTORICALLY):
                return 1
            return 0 if held is NO else None
