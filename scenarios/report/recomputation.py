"""The answer of `localist recompute`: how many recorded attempts came out the same, and how safe the others are."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich.table import Table

from localist_core.serving.verify import Recomputed
from scenarios.recompute import Place, Recomputation

SHOWN = 10
"""Attempts listed one by one in the table; `--json` has all of them."""


def recomputed_json(found: Recomputation) -> dict[str, Any]:
    """The comparison as data."""
    every = [one for _, one in found.attempts]
    return {
        "format": "localist-recomputation",
        "schema_version": 1,
        "core": found.core,
        "fingerprint": found.fingerprint,
        "is_batch_invariant": found.is_batch_invariant,
        "is_equal": found.is_equal,
        "compared": len(every),
        "equal": sum(one.is_equal for one in every),
        "differing": dict(sorted(Counter(name for one in every for name in one.differs).items())),
        "largest_difference": max((one.difference for one in every), default=0.0),
        "smallest_margin": min((one.margin for one in every), default=None),
        "unsafe_margins": sum(one.is_unsafe for one in every),
        "open": sum(one.is_open for one in every),
        "attempts": [_attempt(place, one) for place, one in found.attempts if _is_worth_a_line(one)],
    }


def recomputed(found: Recomputation) -> Table:
    """The comparison for people."""
    values = recomputed_json(found)
    table = Table(title=f"{found.core}, {found.fingerprint}", title_justify="left", header_style="bold")
    table.add_column("")
    table.add_column("figure", overflow="fold")
    table.add_column("value", overflow="fold")
    invariant = {True: "yes", False: "no", None: "not tried"}[found.is_batch_invariant]
    table.add_row("core", "same bits alone as in a batch", invariant, end_section=True)
    table.add_row("attempts", "compared", str(values["compared"]))
    table.add_row("", "equal", str(values["equal"]))
    for name, count in values["differing"].items():
        table.add_row("", f"other {name}", str(count))
    table.add_row("", "largest difference of a probability", f"{values['largest_difference']:.6f}", end_section=True)
    smallest = values["smallest_margin"]
    table.add_row("margins", "smallest", "-" if smallest is None else f"{smallest:.6f}")
    table.add_row("", "unsafe: another machine may choose otherwise", str(values["unsafe_margins"]))
    table.add_row("", "open: what differs could have changed the choice", str(values["open"]), end_section=True)
    listed = [(place, one) for place, one in found.attempts if _is_worth_a_line(one)]
    for index, (place, one) in enumerate(listed[:SHOWN]):
        where = f"{place.agent}, tick {place.tick}, attempt {place.number + 1}"
        what = f"other {', '.join(one.differs)}" if one.differs else "unsafe margin"
        told = f"{what}; margin {one.margin:.6f}, difference {one.difference:.6f}"
        table.add_row("to look at" if not index else "", where, told)
    if len(listed) > SHOWN:
        table.add_row("", f"and {len(listed) - SHOWN} more", "see --json")
    return table


def _is_worth_a_line(one: Recomputed) -> bool:
    return not one.is_equal or one.is_unsafe


def _attempt(place: Place, one: Recomputed) -> dict[str, Any]:
    return {
        "agent": place.agent,
        "tick": place.tick,
        "attempt": place.number,
        "differs": list(one.differs),
        "difference": one.difference,
        "margin": one.margin,
        "is_unsafe": one.is_unsafe,
        "is_open": one.is_open,
    }
