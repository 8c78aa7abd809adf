"""`localist probe`: can this model be steered and measured by block, and what was seen of it on loading."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scenarios.commands.arguments import Exit, core_config, json_argument, place_arguments, print_json

if TYPE_CHECKING:
    from scenarios.commands.arguments import Commands


def add(commands: Commands) -> None:
    """Declare the command."""
    probe = commands.add_parser("probe", help="can this model be steered and measured by block")
    probe.add_argument(
        "model", nargs="?", type=Path, metavar="MODEL_DIR", help="model directory (default: the core that ships)"
    )
    place_arguments(probe)
    json_argument(probe)
    probe.set_defaults(command=_probe)


def _probe(arguments: argparse.Namespace) -> Exit:
    from localist_core import SharedCore
    from scenarios.report.probe import probed, probed_json
    from scenarios.report.table import print_rich

    config = core_config(arguments)
    core = SharedCore.load(config.model, device=config.device, dtype=config.dtype, threads=config.threads)
    print_json(probed_json(core)) if arguments.json else print_rich(probed(core))
    return Exit.PASS
