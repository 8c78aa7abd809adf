"""What became of proposed rules, and of every version of a store, for people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from scenarios.report.difference import differences
from scenarios.report.verification import verification
from symbolic.reloading.journal import History
from symbolic.reloading.judging import Judgement


def judged(found: Judgement, live: str) -> RenderableType:
    """A judgement: what was proved, what would change, and whether the rules may become live."""
    return Group(*_judged(found, live))


def _judged(found: Judgement, live: str) -> Iterator[RenderableType]:
    if found.report is not None:
        yield verification({"proposed": found.report})
    if found.difference is not None and found.base != found.sha256:
        yield differences({"change": found.difference})
    if found.rejection is not None:
        yield Text(f"refused, {found.rejection.cause}: {found.rejection.text}", "bold red")
    else:
        is_live = " and live" if live == found.sha256 else "; make it live with `localist rules activate`"
        yield Text(f"accepted{is_live}: {found.sha256[:16]}", "green")
    if live != found.sha256:
        yield Text(f"live: {live[:16] or 'none'}")


def versions(history: History) -> RenderableType:
    """The journal of a store, and what may become live."""
    table = Table("", "what", "version", "by", "text", expand=True)
    for entry in history.entries:
        cause = f"{entry.cause}: " if entry.cause else ""
        mark = "live" if entry.sha256 == history.live and entry.happening in ("created", "activated") else ""
        table.add_row(mark, entry.happening.value, entry.sha256[:16], Text(entry.by), Text(cause + entry.text))
    waiting = ", ".join(sha256[:16] for sha256, _ in history.accepted) or "none"
    return Group(table, Text(f"accepted beside the live version: {waiting}"))
