"""The answer of `localist bounds`: how often each law was broken, by how much it is kept, and how tight it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from localist_core.proving.bounds import RELATIVE, Held


def bounds_table(model: str, data: str, found: Sequence[Held]) -> RenderableType:
    """The laws for people."""
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    made.add_column("section")
    made.add_column("law", overflow="fold")
    for column in ("rows", "broken", "worst", "tight 5 %", "50 %", "95 %"):
        made.add_column(column, justify="right", no_wrap=True)
    for law in found:
        made.add_row(
            str(law.section),
            law.name,
            str(law.count),
            str(law.violations),
            "-" if math.isnan(law.worst) else f"{law.worst:.1e}",
            *("-" if math.isnan(share) else f"{share:.2f}" for share in law.tightness),
        )
    note = (
        f"worst: excess over the bound, or difference of an identity; broken: by more than {RELATIVE:g} of the bound "
        "and what float32 loses. tight: the lesser side as a share of the greater, 1 = tight."
    )
    return Group(Text(f"{model} on {data}", "bold"), made, Text(note))


def bounds_json(model: str, data: str, seed: int, found: Sequence[Held]) -> dict[str, Any]:
    """The laws as data; numbers that are undefined are null."""
    return {
        "format": "localist-bounds",
        "schema_version": 1,
        "model": model,
        "data": data,
        "seed": seed,
        "relative_slack": RELATIVE,
        "laws": [
            {**asdict(law), "worst": _known(law.worst), "tightness": [_known(share) for share in law.tightness]}
            for law in found
        ],
    }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
