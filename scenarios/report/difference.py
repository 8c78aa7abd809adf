"""The answer of `localist rules diff`: how the new rules stand to the old ones, with examples and what was edited."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from symbolic.reloading.difference import Difference, Relation, Shown, Side

SAYS = {
    Relation.EQUAL: "the new rules allow exactly what the old ones allow",
    Relation.STRICTER: "the new rules forbid more, and allow nothing new",
    Relation.LOOSER: "the new rules allow more, and forbid nothing new",
    Relation.INCOMPARABLE: "the new rules forbid something that was allowed, and allow something that was forbidden",
    Relation.UNKNOWN: "not known how the new rules stand to the old ones",
}
COLOURS = {Relation.EQUAL: "green", Relation.UNKNOWN: "magenta"}


def differences(found: Mapping[str, Difference]) -> RenderableType:
    """The differences for people, role by role."""
    return Group(*(part for role, one in found.items() for part in _role(role, one)))


def _role(role: str, one: Difference) -> Iterator[RenderableType]:
    yield Text(f"{role}: {one.old_sha256[:16]} -> {one.new_sha256[:16]}", "bold")
    yield Text(f"{one.relation}: {SAYS[one.relation]}", COLOURS.get(one.relation, "yellow"))
    table = Table(show_header=False, expand=True)
    table.add_column("question")
    table.add_column("answer", ratio=1)
    for question, side in (("becomes forbidden", one.forbidden), ("becomes allowed", one.allowed)):
        table.add_row(question, Text("\n".join(_side(side))))
    points = f"{one.num_points:,} points" + (", which are all" if one.is_complete else " of a sample")
    table.add_row("looked at", f"{points}; questions to the solver: {one.num_queries}")
    for fault in one.faults:
        table.add_row("fault", Text(fault, "bold red"))
    yield table
    if one.edits:
        edits = Table("rule", "edit", "was", "now", expand=True)
        for edit in one.edits:
            what = f"{edit.change}: {', '.join(edit.parts)}" if edit.parts else edit.change.value
            edits.add_row(Text(edit.rule), what, Text(edit.was), Text(edit.now))
        yield edits
    else:
        yield Text("no rule was edited", "green")


def _side(side: Side) -> Iterator[str]:
    yield side.answer.value
    if side.example is not None:
        yield f"such as {_values(side.example.action)}, where {_values(side.example.state)}"
        yield f"by {', '.join(side.rules) or 'rules that are not known'}"
    if side.unknown:
        yield f"not known of {', '.join(side.unknown)}"


def _values(values: Shown) -> str:
    return ", ".join(f"{name} {text}" for name, text in values)
