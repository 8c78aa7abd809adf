"""Whose claims a rule set trusts, and with what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from symbolic.claiming.told import told, told_by
from symbolic.proving.report import Trust

if TYPE_CHECKING:
    from symbolic.rule import Rule
    from symbolic.rules import RuleSet


def trusts(ruleset: RuleSet[Any, Any]) -> tuple[Trust, ...]:
    """For each role that some rule trusts, in order of names: with what."""
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    every = told(ruleset)
    for rule in ruleset.rules:
        for one in told_by(rule, every):
            for role in one.roles & trusted(ruleset, rule):
                rules, names = found.setdefault(role, ({}, {}))
                rules[rule.anchor] = names[one.field.name] = None
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
