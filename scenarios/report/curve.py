"""A dial curve for people: tables, and a plot with what was published beside it (extra `plots`).

python -m scenarios.report.curve CURVE.json ... PICTURE.svg        draws several curves into one picture
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from scenarios.config import ConfigError
from scenarios.curve import PUBLISHED, Curve, Point
from scenarios.curve_files import read_json

COLUMNS = ("dial", "H", "H'", "F", "on S", "neutral", "perplex.", "right")
RULED = ("best", "comply", "cite")


def curve_tables(curve: Curve) -> RenderableType:
    """One table for each depth exponent, then what was published."""
    head = Text(f"{curve.model} on {curve.data}", "bold")
    told = Text(
        f"{curve.num_lessons} lessons, {curve.num_rows} rows, n_S / n = {curve.target_share:.3f}, {curve.dial} dial, "
        f"seed {curve.seed}\nraw fidelity, from the pass at dial 0: {curve.at(0.0).raw_fidelity:.3f}\n"
        "H, H' entropy in bits, of all tokens and without neutral ones; F steered fidelity, true by construction; "
        "on S, neutral: attention; right ... cite in %"
    )
    gammas = sorted({point.gamma for point in curve.points})
    return Group(head, told, *(_table(curve, gamma) for gamma in gammas), published())


def _table(curve: Curve, gamma: float) -> Table:
    points = [point for point in curve.points if point.gamma == gamma]
    made = Table(title=f"gamma {gamma:g}", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in (*COLUMNS, *(() if points[0].best is None else RULED)):
        made.add_column(column, justify="right", no_wrap=True)
    for point in points:
        made.add_row(*_cells(point))
    return made


def _cells(point: Point) -> list[str]:
    masses = (point.steered_fidelity, point.target_mass, point.neutral_mass)
    shares = (point.accuracy, point.best, point.compliance, point.citation)
    return [
        f"{point.value:g}",
        f"{point.entropy_bits:.2f}",
        f"{point.inner_entropy_bits:.2f}",
        *(f"{mass:.3f}" for mass in masses),
        f"{point.perplexity:.2f}",
        *(f"{100 * share:.1f}" for share in shares if share is not None),
    ]


def published() -> Table:
    """The figures of the papers, with the corpora that they were measured on."""
    made = Table(
        "source",
        "setting",
        "figure",
        title="published, on corpora that are not ours",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for one in PUBLISHED:
        made.add_row(one.source, one.setting, one.figure)
    return made


# Plot

PANELS = (
    ("attention entropy H, bits", lambda point: point.entropy_bits),
    ("steered fidelity", lambda point: point.steered_fidelity),
    ("mass on targets", lambda point: point.target_mass),
    ("perplexity", lambda point: point.perplexity),
    ("accuracy, %", lambda point: 100 * point.accuracy),
)
LEAST_SPAN = {"perplexity": 0.1, "accuracy, %": 0.05}
"""Least height of a panel as a share of its values, so that noise does not look like an effect."""
STYLE: dict[Any, Any] = {
    "font.sans-serif": ["DejaVu Sans", "Arial"],
    "svg.fonttype": "none",  # letters stay letters
    "svg.hashsalt": "localist",  # equal curves give equal files
}
AILA_ENTROPY = ((0.0, 7.18), (1.0, 5.36))
"""Entropy against the dial in AILA: the two values that were published."""
COLOURS = ("#1b6ca8", "#2a9d8f", "#e09f3e", "#b5446e")
"""Of the depth exponents, in order."""


def demand_plots() -> None:
    """Refuse to go on without matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError("expected matplotlib for a plot, got none; install the extra `plots`, or leave --out away")


def plot(curves: Sequence[Curve], path: Path) -> None:
    """Draw curves into a file, one row of panels for each; the ending of the path says the format.

    Raises:
        ConfigError: matplotlib is not installed, or does not know the format.
    """
    demand_plots()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.1 * len(PANELS), 2.7 * len(curves)), layout="constrained")
        axes = figure.subplots(len(curves), len(PANELS), squeeze=False, sharey="col")
        for row, curve in zip(axes, curves, strict=True):
            for panel, (title, of) in zip(row, PANELS, strict=True):
                _draw(panel, curve, title, of)
            row[0].set_ylabel(f"{curve.model}\n{curve.data}", fontsize=8)
        for panel, (title, _) in zip(axes[0], PANELS, strict=True):
            _widen(panel, LEAST_SPAN.get(title, 0.0))
        axes[0][0].legend(fontsize=7, frameon=False)
        try:
            figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
        except ValueError as error:
            raise ConfigError(f"expected a plot as .svg, .png or .pdf, got `{path.name}`; rename it") from error


def _widen(panel: Any, least: float) -> None:
    """Give a panel, and those that share its axis, at least this height as a share of its values."""
    low, high = panel.get_ylim()
    missing = least * high - (high - low)
    if missing > 0.0:
        panel.set_ylim(low - missing / 2, high + missing / 2)


def _draw(panel: Any, curve: Curve, title: str, of: Any) -> None:
    gammas = sorted({point.gamma for point in curve.points})
    for gamma, colour in zip(gammas, COLOURS, strict=False):
        points = [point for point in curve.points if point.gamma == gamma]
        panel.plot([p.value for p in points], [of(p) for p in points], color=colour, lw=1.4, label=f"gamma {gamma:g}")
    if title.startswith("steered"):
        panel.axhline(curve.at(0.0).raw_fidelity, color="#777777", lw=0.9, ls=":", label="raw, at dial 0")
        panel.legend(fontsize=7, frameon=False)
    if title.startswith("attention"):
        panel.plot(*zip(*AILA_ENTROPY, strict=True), "x", color="#777777", ms=5, label="AILA, WikiText")
    panel.ticklabel_format(useOffset=False)
    panel.set_title(title, fontsize=9)
    panel.set_xlabel("dial", fontsize=8)
    panel.tick_params(labelsize=7)
    panel.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    plot([read_json(Path(name)) for name in sys.argv[1:-1]], Path(sys.argv[-1]))
