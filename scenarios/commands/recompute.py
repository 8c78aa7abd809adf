"""`localist recompute`: compute every attempt of a recorded run again, alone, and compare."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scenarios.commands.arguments import Exit, json_argument, print_json

if TYPE_CHECKING:
    from scenarios.commands.arguments import Commands


def add(commands: Commands) -> None:
    """Declare the command."""
    recompute = commands.add_parser(
        "recompute", help="compute every attempt of a recorded run again with its core, alone, and compare"
    )
    recompute.add_argument("run", type=Path, metavar="RUN", help="directory of a recorded run")
    recompute.add_argument(
        "--model", type=Path, metavar="DIR", help="where the run's model lies now (default: where the run says)"
    )
    json_argument(recompute)
    recompute.set_defaults(command=_recompute)


def _recompute(arguments: argparse.Namespace) -> Exit:
    from scenarios.recompute import recompute_run
    from scenarios.report.progress import Steps
    from scenarios.report.recomputation import recomputed, recomputed_json
    from scenarios.report.table import print_rich

    with Steps.open(f"recompute {arguments.run}") as steps:
        found = recompute_run(arguments.run, model=arguments.model, watch=steps.show)
    print_json(recomputed_json(found)) if arguments.json else print_rich(recomputed(found))
    return Exit.PASS if found.is_equal else Exit.FAILED
