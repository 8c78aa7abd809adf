"""The joint rules' part of `localist verify`: does a joint action exist, and does deciding in turn find one."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from scenarios.report.verification import COLOURS
from symbolic import GroupAnswer, JointReport


def joint_verification(report: JointReport) -> RenderableType:
    """The report for people."""
    table = Table("agents, in order", "a joint action exists", "each finds one in turn", "looked at", expand=True)
    for one in report.groups:
        table.add_row(", ".join(one.roles), one.exists.value, one.in_turn.value, _points(one))
    table.add_row("groups of any size", "", report.any_size.value, f"questions to the solver: {report.num_queries}")
    table.add_row("beside silent peers", "", report.beside_silent.value, "")
    parts: list[RenderableType] = [Text("joint rules", "bold"), table]
    if report.symmetric:
        parts.append(Text(f"the same both ways round, as proved: {', '.join(report.symmetric)}"))
    if report.findings:
        found = Table("level", "finding", "shown by", expand=True)
        for finding in report.findings:
            shown = ", ".join(f"{name} {text}" for name, text in finding.state)
            found.add_row(Text(finding.level.value, COLOURS[finding.level.value]), Text(finding.text), Text(shown))
        parts.append(found)
    return Group(*parts)


def _points(one: GroupAnswer) -> str:
    return f"{one.num_points:,} points" + (", which are all" if one.is_complete else " of a sample")
