"""The answer of `localist tune --training`: what margin and penalty strength did, beside the noise of a second seed."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import JsonValue
from rich.console import RenderableType

from localist_core.learning.history import Progress
from scenarios.config import ConfigError
from scenarios.recipes import Trained
from scenarios.report.trials import compact

SORTS = ("act", "cite", "fires")


def trained_json(found: Sequence[Trained]) -> dict[str, JsonValue]:
    """The figures as data."""
    rows: list[JsonValue] = [asdict(one) for one in found]
    return {"format": "localist-recipes", "schema_version": 1, "trained": rows}


def trained_report(found: Sequence[Trained]) -> RenderableType:
    """The figures for people."""
    title = f"{found[0].tokens:,} prompt tokens each; held-out lessons, dial 0"
    columns = ("recipe", "loss", *(f"{sort} %" for sort in SORTS), "raw fidelity", "zero groups %")
    table = compact(*columns, title=title)
    for one in found:
        shares = (f"{100 * one.accuracy[sort]:.1f}" if sort in one.accuracy else "-" for sort in SORTS)
        zero = f"{100 * one.zero_groups:.1f}"
        table.add_row(one.recipe, f"{one.loss:.4f}", *shares, f"{one.raw_fidelity:.4f}", zero)
    return table


def save_trained(found: Sequence[Trained], path: Path) -> None:
    """The figures as rows.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("recipe", "tokens", "loss", *SORTS, "raw_fidelity", "zero_groups"))
            for one in found:
                shares = [one.accuracy.get(sort, "") for sort in SORTS]
                writer.writerow((one.recipe, one.tokens, one.loss, *shares, one.raw_fidelity, one.zero_groups))
    except OSError as error:
        raise ConfigError(f"expected a file that can be written, got `{path}`; correct --csv") from error


def told(name: str, progress: Progress) -> str:
    """Where a training stands, in one line."""
    return f"{name}: {progress.tokens:,} of {progress.total_tokens:,} tokens, loss {progress.loss:.3f}"
