"""`localist bounds`: every bound of the framework against the attention of a core."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scenarios.commands.arguments import Exit, json_argument, print_json, seed_argument
from scenarios.commands.dial_curve import data_arguments, data_of

if TYPE_CHECKING:
    from scenarios.commands.arguments import Commands


def add(commands: Commands) -> None:
    """Declare the command."""
    bounds = commands.add_parser("bounds", help="every bound of the framework against the attention of a core")
    bounds.add_argument("--model", type=Path, metavar="DIR", help="model directory (default: the core that ships)")
    bounds.add_argument("--random", action="store_true", help="the same shape with random weights instead")
    data_arguments(bounds, lessons=16)
    seed_argument(bounds)
    json_argument(bounds)
    bounds.set_defaults(command=_bounds)


def _bounds(arguments: argparse.Namespace) -> Exit:
    from scenarios.data import localist_model
    from scenarios.report.bounds import bounds_json, bounds_table
    from scenarios.report.progress import Steps
    from scenarios.report.table import print_rich
    from scenarios.witnesses import bounds_of

    data = data_of(arguments)
    loaded = localist_model(arguments.model, is_random=arguments.random)
    with Steps.open("attending") as steps:
        found = bounds_of(loaded.model, data.lessons(loaded.folder), watch=steps.show)
    if arguments.json:
        print_json(bounds_json(loaded.name, data.name, data.seed, found))
    else:
        print_rich(bounds_table(loaded.name, data.name, found))
    return Exit.FAILED if any(law.violations for law in found) else Exit.PASS
