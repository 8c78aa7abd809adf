"""`localist plot`: the history of a training run as a picture."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scenarios.commands.arguments import Exit

if TYPE_CHECKING:
    from scenarios.commands.arguments import Commands


def add(commands: Commands) -> None:
    """Declare the command."""
    plot = commands.add_parser("plot", help="draw the history of a training run: loss, answers, fidelity, zero groups")
    plot.add_argument("run", type=Path, metavar="DIR", help="directory that `localist train` wrote")
    plot.add_argument("--out", type=Path, metavar="FILE", help="PNG, SVG or PDF (default DIR/history.png)")
    plot.set_defaults(command=_plot)


def _plot(arguments: argparse.Namespace) -> Exit:
    from scenarios.report.plot import draw

    out = arguments.out or arguments.run / "history.png"
    draw(arguments.run, out)
    print(out)
    return Exit.PASS
