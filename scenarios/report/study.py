"""The tables of the study: every figure with its mean and its range over the seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from scenarios.comparison import Compared, Figure
from scenarios.report.curve import published


def study_tables(found: Sequence[Compared], split: str) -> RenderableType:
    """The figures for people."""
    if not found:
        return Text("nothing to compare yet: no seed has both models examined")
    return Group(*(_table(one, split) for one in found), published())


def _table(one: Compared, split: str) -> Table:
    title = f"{one.name}; {split}, {len(one.seeds)} seed(s), mean n_S / n {one.target_share:.3f}"
    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    made.add_column("figure", overflow="fold")
    made.add_column("target", no_wrap=True)
    made.add_column("mean", justify="right", no_wrap=True)
    made.add_column("range over seeds", justify="right", no_wrap=True)
    for figure in one.figures:
        made.add_row(figure.name, figure.target, number(figure.mean), spread(figure))
    return made


def number(value: float) -> str:
    """Three decimal places below 10, one above."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def spread(figure: Figure) -> str:
    """Least and greatest value."""
    return f"{number(min(figure.values))} to {number(max(figure.values))}"


def study_json(found: Sequence[Compared], split: str) -> dict[str, Any]:
    """The figures as data."""
    return {
        "format": "localist-study",
        "schema_version": 1,
        "split": split,
        "compared": [
            {**asdict(one), "figures": [{**asdict(figure), "mean": figure.mean} for figure in one.figures]}
            for one in found
        ],
    }
