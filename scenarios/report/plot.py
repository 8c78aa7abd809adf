"""The history of a training run as a picture: loss, right answers, raw fidelity and zero groups over tokens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from localist_core.learning.history import HISTORY, Row, rows_of
from scenarios.config import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHARES = ("right answers (share)", "raw fidelity")
"""Panels that reach from 0 to 1."""

FORMATS = (".png", ".svg", ".pdf")


def load_library() -> None:
    """Make sure that matplotlib can be loaded.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ConfigError("expected matplotlib, got none; install the extra `localist-agents[plots]`") from error
    matplotlib.use("Agg")


def draw(run: Path, out: Path) -> None:
    """Draw the history of a training run.

    Args:
        run: directory that holds `history.jsonl`.
        out: the picture; its ending says what it is.

    Raises:
        ConfigError: no history, no report in it, another ending, or no matplotlib.
    """
    if out.suffix not in FORMATS:
        raise ConfigError(f"expected a picture ending in {', '.join(FORMATS)}, got `{out.name}`; correct --out")
    load_library()
    from matplotlib.figure import Figure

    rows = _history(run / HISTORY)
    panels = _panels(rows)
    figure = Figure(figsize=(4.2 * len(panels), 3.4), layout="constrained")
    for axes, (title, columns) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        _panel(axes, title, rows, columns)
    figure.savefig(out, dpi=150)


def _history(path: Path) -> list[Row]:
    try:
        rows = rows_of(path)
    except (OSError, ValueError) as error:
        detail = type(error).__name__ if isinstance(error, OSError) else str(error)
        raise ConfigError(f"expected the history of a training run at `{path}`, got {detail}") from error
    if not rows:
        raise ConfigError(f"expected a report in `{path}`, got none; train for longer")
    return rows


def _panels(rows: list[Row]) -> dict[str, dict[str, str]]:
    """Title -> column -> its name in the legend; panels without any number are left out."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    fixed = {"step", "tokens", "seconds", "loss", "zero_groups", "groups"}
    special = {"held_out_loss": "held out", "held_out_raw_fidelity": "held out, dial 0"}
    shares = {
        name: name.replace("held_out_", "held out: ") for name in names if name not in fixed and name not in special
    }
    panels = {
        "loss (nats)": {"loss": "training", "held_out_loss": "held out"},
        "right answers (share)": shares,
        "raw fidelity": {"held_out_raw_fidelity": "held out, dial 0"},
        "zero groups": {"zero_groups": "zero", "groups": "all"},
    }
    present = {title: {name: label for name, label in of.items() if name in names} for title, of in panels.items()}
    return {title: of for title, of in present.items() if of}


def _panel(axes: Axes, title: str, rows: list[Row], columns: dict[str, str]) -> None:
    """One panel; what is held out has the colour of its counterpart in training, with marks."""
    colours: dict[str, str] = {}
    for name, label in columns.items():
        is_held_out = name.startswith("held_out")
        points = [(row["tokens"] / 1e6, row[name]) for row in rows if name in row]
        colour = colours.setdefault(name.removeprefix("held_out_"), f"C{len(colours)}")
        line, mark = ("--", "o") if is_held_out else ("-", "")
        axes.plot(*zip(*points, strict=True), label=label, color=colour, linestyle=line, marker=mark, markersize=4)
    axes.set_title(title)
    axes.set_xlabel("million tokens")
    axes.set_ylim(0, 1.05 if title in SHARES else None)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
