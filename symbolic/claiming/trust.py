"""Whose claims a rule set trusts, and with what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from symbolic.expression import Owner
from symbolic.field import FieldSpec
from symbolic.proving.report import Trust

if TYPE_CHECKING:
    from symbolic.rules import Rule, RuleSet


def trusts(ruleset: RuleSet[Any, Any]) -> tuple[Trust, ...]:
    """For each role that some rule trusts, in order of names: with what."""
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for rule in ruleset.rules:
        for field in claims_of(rule):
            if field.claim is not None and field.claim.by in trusted(ruleset, rule):
                rules, names = found.setdefault(field.claim.by, ({}, {}))
                rules[rule.anchor] = names[field.name] = None
    return tuple(
        Trust(role=role, rules=tuple(rules), fields=tuple(names)) for role, (rules, names) in sorted(found.items())
    )


def trusted(ruleset: RuleSet[Any, Any], rule: Rule) -> frozenset[str]:
    """Roles that a rule trusts, itself or by what defeats it."""
    declared = {one.name: one for one in (*(other.declared for other in ruleset.rules), *ruleset.permits)}
    roles: set[str] = set()
    seen: set[str] = set()
    left = [rule.name]
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            roles.update(declared[name].trusts)
            left += [*declared[name].unless, *(other.name for other in declared.values() if name in other.overrides)]
    return frozenset(roles)


def claims_of(rule: Rule) -> tuple[FieldSpec, ...]:
    """The claims that a rule reads."""
    return tuple(one.field for one in rule.reads if one.owner is Owner.STATE and one.field.claim is not None)
