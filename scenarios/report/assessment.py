"""The answer of `localist assess`: how the core read each rule, with an example of what it misread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from localist_core import Capabilities
from scenarios.assess import RoleReading, RuleReading
from scenarios.report.table import share


def assessment_json(scenario: str, core: Capabilities, roles: Sequence[RoleReading]) -> dict[str, Any]:
    """The readings as data."""
    return {
        "format": "localist-assessment",
        "schema_version": 1,
        "scenario": scenario,
        "core": {"name": core.name, "device": core.device, "dtype": core.dtype, "fingerprint": core.fingerprint},
        "roles": [asdict(role) for role in roles],
    }


def assessment(scenario: str, core: Capabilities, roles: Sequence[RoleReading]) -> RenderableType:
    """The readings for people."""
    head = Text(f"{scenario}, read by {core.name} on {core.device}, {core.dtype}", "bold")
    return Group(head, *(part for role in roles for part in _role(role)))


def _role(role: RoleReading) -> Iterator[RenderableType]:
    table = Table(
        "rule",
        "states",
        "first try",
        "after injection",
        "chosen",
        "cited",
        title=f"role {role.role}",
        title_justify="left",
    )
    for rule in role.rules:
        table.add_row(f"{rule.rule} {rule.name}", str(rule.states), *_shares(rule))
    table.add_section()
    table.add_row("all states", str(role.states), *_shares(role))
    yield table
    yield Text(
        f"first try is the most wanted compliant action: {share(role.first_best, role.states - role.blocked)}; "
        f"states without any compliant action: {role.blocked}"
    )
    yield from (_example(rule) for rule in role.rules if rule.example is not None)


def _shares(found: RuleReading | RoleReading) -> tuple[str, str, str, str]:
    cited = share(found.cited, found.citable) if found.citable else "-"
    states = found.states
    return share(found.first_try, states), share(found.after_injection, states), share(found.chosen, states), cited


def _example(rule: RuleReading) -> Text:
    example = rule.example
    assert example is not None
    facts = ", ".join(f"{name} = {value}" for name, value in example.facts.items())
    return Text.assemble(
        (f"{rule.rule} misread: ", "yellow"),
        f"{rule.sentence} In {facts}, wanting {' '.join(example.wanted)}, it proposed {example.proposed}; "
        f"allowed: {' '.join(example.allowed) or 'nothing'}",
    )
