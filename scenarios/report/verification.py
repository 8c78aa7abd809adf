"""The answer of `localist verify`: what was proved, and each finding with the state that shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.status import Status
from rich.table import Table
from rich.text import Text

from symbolic import Finding, Report, Sort

MOST_SHOWN: Final = 200
"""Findings of one sort that are shown; JSON holds all."""

COLOURS = {"error": "bold red", "warning": "yellow", "unknown": "magenta"}


@dataclass(frozen=True, slots=True)
class Verifying:
    """Tells on standard error what is being proved; nothing where nobody looks."""

    status: Status | None

    @classmethod
    @contextmanager
    def open(cls, *, is_shown: bool) -> Iterator[Self]:
        """Show a line until the block ends."""
        console = Console(stderr=True)
        if not (is_shown and console.is_terminal):
            yield cls(None)
            return
        with console.status("verifying") as status:
            yield cls(status)

    def show(self, role: str) -> Callable[[str], None]:
        """What to call with each step of one role."""
        return lambda step: None if self.status is None else self.status.update(f"verifying {role}: {step}")


def verification(reports: Mapping[str, Report]) -> RenderableType:
    """The reports for people."""
    return Group(*(part for role, report in reports.items() for part in _role(role, report)))


def _role(role: str, report: Report) -> Iterator[RenderableType]:
    yield Text(f"{role}: {report.num_rules} rules, {report.ruleset_sha256[:16]}", "bold")
    table = Table(show_header=False, expand=True)
    table.add_column("question")
    table.add_column("answer", ratio=1)
    table.add_row("some action is safe in some state", report.consistent.value)
    table.add_row("in every state some action is safe", report.total.value)
    if report.witnesses:
        table.add_row("one of these is safe in every state", Text("; ".join(map(values, report.witnesses))))
    table.add_row("what others say may allow", Text(trusted(report)))
    table.add_row("looked at", looked_at(report))
    yield table
    if not report.findings:
        yield Text("nothing else found", "green")
        return
    found = Table("level", "finding", "shown by", expand=True)
    shown, left_out = shortened(report.findings)
    for one in shown:
        found.add_row(Text(one.level.value, COLOURS[one.level.value]), Text(one.text), Text(values(one.state)))
    yield found
    for sort, count in left_out.items():
        yield Text(f"and {count:,} more of {sort}; --json shows all")


def shortened(findings: Sequence[Finding]) -> tuple[list[Finding], dict[str, int]]:
    """The first findings of each sort, and how many more there are: of 1,000 rules 100,000 pairs may clash."""
    shown: list[Finding] = []
    counts: Counter[str] = Counter()
    for one in findings:
        counts[one.sort.value] += 1
        if counts[one.sort.value] <= MOST_SHOWN:
            shown.append(one)
    return shown, {sort: count - MOST_SHOWN for sort, count in counts.items() if count > MOST_SHOWN}


def trusted(report: Report) -> str:
    """Whose claims may allow what rules forbid in silence."""
    parts = [f"trusted, {one.role}: {', '.join(one.fields)} in {', '.join(one.rules)}" for one in report.trusts]
    loose = [anchor for one in report.findings if one.sort is Sort.CLAIM for anchor in one.rules]
    if loose:
        parts.append(f"not trusted, and perhaps all the same: what {', '.join(loose)} forbids (below)")
    return "; ".join(parts) or "nothing that is forbidden in silence"


def looked_at(report: Report) -> str:
    """How the answers were found, and how each "no" was confirmed."""
    noes = ", ".join(f"{count} {how}" for how, count in report.denials.items()) or "none"
    return (
        f"{report.num_points:,} points; questions to the solver: {report.num_queries}, "
        f"known before: {report.num_kept}; answers that there is no such state: {noes}"
    )


def values(pairs: tuple[tuple[str, str], ...]) -> str:
    """Names with the text of their values."""
    return ", ".join(f"{name} {text}" for name, text in pairs)
