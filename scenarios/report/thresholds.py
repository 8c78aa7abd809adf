"""The answer of `localist thresholds`: strengths at which factors vanish, predicted and observed."""

from __future__ import annotations

import math

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from localist_core.learning.thresholds import MET, FreePath, Thresholds
from scenarios.report.table import print_rich
from scenarios.threshold_study import ThresholdStudy


def print_study(found: ThresholdStudy) -> None:
    """Print the study for people."""
    print_rich(rendered(found))


def rendered(found: ThresholdStudy) -> RenderableType:
    """The study for people."""
    residual = "" if found.worst_zero_residual is None else f"; worst KKT residual here {found.worst_zero_residual:.1%}"
    lines = [
        f"{found.model}: loss {found.loss:.4f} over {found.cases} cases",
        f"trained at strength {found.strength:g}; {found.num_zero} of {found.num_groups} groups zero{residual}",
    ]
    parts: list[RenderableType] = [Text("\n".join(lines)), _frozen(found.frozen), Text(verdict(found.frozen))]
    return Group(*parts, *([_free(found.free)] if found.free is not None else []))


def verdict(frozen: tuple[Thresholds, ...]) -> str:
    """How predictions and observations agree, in two sentences."""
    close = sum(abs(one.deviation) <= 0.05 for one in frozen)
    reentered = sum(one.reentry is not None and one.reentry >= one.block * 0.95 for one in frozen)
    jumps = sum(not abs(one.deviation) <= 0.05 for one in frozen)
    return (
        f"path threshold within 5 % of the prediction: {close} of {len(frozen)}; jumps later: {jumps}. "
        f"Re-entry within 5 %: {reentered} of {len(frozen)}."
    )


def _frozen(rows: tuple[Thresholds, ...]) -> Table:
    table = Table("factor", title="everything else frozen", title_justify="left")
    for name in ("predicted", "path", "deviation", "re-entry", "KKT residual"):
        table.add_column(name, justify="right")
    for one in rows:
        deviation = "-" if math.isnan(one.deviation) else f"{one.deviation:+.1%}"
        kkt = f"{one.residual:.1e}" + ("" if one.residual <= MET else " (!)")
        table.add_row(one.factor, f"{one.block:.3g}", _number(one.path), deviation, _number(one.reentry), kkt)
    return table


def _free(rows: tuple[FreePath, ...]) -> Table:
    table = Table("factor", title="every weight free, as found", title_justify="left")
    for name in ("block threshold", "path", "re-entry"):
        table.add_column(name, justify="right")
    for one in rows:
        table.add_row(one.factor, _number(one.block), _number(one.path), _number(one.reentry))
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
