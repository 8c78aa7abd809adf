"""The answer of `localist probe --noninterference`: which conditions hold, and what untrusted texts did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from localist_core import Capabilities
from localist_core.guarding.conditions import MEANINGS, Condition
from localist_core.guarding.noninterference import Influence, Report
from scenarios.layouts import Layout

COVERS: Final = (
    "untrusted text cannot reach this decision through this model at dial 1, whatever it says, however long it is"
)
DOES_NOT_COVER: Final = (
    "claims in messages that enter the typed state",
    "who chooses the target set",
    "how often the core is asked again",
    "refusals and time: what makes a request of the same batch fail, or slow",
)


def interference_json(layout: Layout, core: Capabilities, report: Report) -> dict[str, Any]:
    """The report as data."""
    reasons: dict[Condition, list[str]] = {condition: [] for condition in Condition}
    for finding in report.findings:
        reasons[finding.condition].append(finding.reason)
    return {
        "format": "localist-noninterference",
        "schema_version": 1,
        "core": {"name": core.name, "device": core.device, "dtype": core.dtype, "fingerprint": core.fingerprint},
        "layout": layout.name,
        "holds": report.holds,
        "conditions": [
            {"condition": condition.value, "meaning": MEANINGS[condition], "holds": not found, "reasons": found}
            for condition, found in reasons.items()
        ],
        "influences": [asdict(one) for one in report.influences],
        "poisoned": asdict(report.poisoned),
        "covers": COVERS,
        "does_not_cover": list(DOES_NOT_COVER),
    }


def interference(layout: Layout, core: Capabilities, report: Report) -> RenderableType:
    """The report for people."""
    head = Text(f"{core.name} on {core.device}, {core.dtype}; {layout.name}", "bold")
    return Group(head, _conditions(report), _influences(report), *_verdict(layout, report))


def _conditions(report: Report) -> Table:
    table = Table("", "must hold", "holds", header_style="bold")
    for condition in Condition:
        reasons = [finding.reason for finding in report.findings if finding.condition is condition]
        told = Text("; ".join(reasons[:3]) + (f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""), "red")
        table.add_row(condition.value, MEANINGS[condition], told if reasons else Text("yes", "green"))
    return table


def _influences(report: Report) -> Table:
    table = Table("dial", "prompts", "bits unchanged", "refused", header_style="bold")
    for name in ("logits moved by", "actions moved by", "other choice"):
        table.add_column(name, justify="right")
    rows = [(f"{one.dial:g}", one) for one in report.influences]
    for dial, one in [*rows, (f"{report.poisoned.dial:g}, inf and NaN", report.poisoned)]:
        table.add_row(dial, *_figures(one))
    return table


def _figures(one: Influence) -> tuple[str, ...]:
    return (
        str(one.messages + one.refused),
        str(one.identical),
        str(one.refused),
        f"{one.logit_change:.2g}",
        f"{one.total_variation:.2g}",
        str(one.changed_choices),
    )


def _verdict(layout: Layout, report: Report) -> Iterator[Text]:
    if report.holds:
        yield Text.assemble(("shown: ", "bold green"), COVERS)
    else:
        letters = dict.fromkeys(f"({finding.condition.value})" for finding in report.findings)
        failed = (
            f"refused: outside the conditions, {' '.join(letters)} fail" if letters else "not shown: something moved"
        )
        yield Text(failed, "bold red")
    yield Text("Logits move by the largest change of one, actions by the largest total variation, over all prompts.")
    yield Text(f"Not covered: {'; '.join(DOES_NOT_COVER)}.")
    below = [dial for dial in layout.dials if dial < 1.0]
    if below:
        dials = ", ".join(f"{dial:g}" for dial in below)
        yield Text(f"Runs of this scenario ask at dial {dials}: there untrusted text has the influence shown above.")
