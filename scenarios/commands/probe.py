"""`localist probe`: can this model be steered and measured by block; can untrusted text reach its decisions."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scenarios.commands.arguments import Exit, core_config, json_argument, place_arguments, print_json, seed_argument
from scenarios.config import ConfigError

if TYPE_CHECKING:
    from localist_core import SharedCore
    from scenarios.commands.arguments import Commands


def add(commands: Commands) -> None:
    """Declare the command."""
    probe = commands.add_parser("probe", help="can this model be steered; can untrusted text reach its decisions")
    probe.add_argument(
        "model", nargs="?", type=Path, metavar="MODEL_DIR", help="model directory (default: the core that ships)"
    )
    probe.add_argument(
        "--noninterference", action="store_true", help="show that untrusted text moves no bit of a decision at dial 1"
    )
    probe.add_argument(
        "--layout",
        default="corridor",
        metavar="LAYOUT",
        help="with --noninterference: a scenario, or a prompt file that ends in .json (default corridor)",
    )
    probe.add_argument(
        "--messages", type=int, default=1000, metavar="N", help="hostile prompts at dial 1 (default 1000)"
    )
    probe.add_argument(
        "--measured", type=int, default=200, metavar="N", help="of them asked below dial 1 too (default 200)"
    )
    probe.add_argument(
        "--dial",
        type=float,
        nargs="+",
        metavar="L",
        help="dials below 1 (default 0 0.2 0.5 0.8 0.95); 1 is always shown",
    )
    seed_argument(probe)
    place_arguments(probe)
    json_argument(probe)
    probe.set_defaults(command=_probe)


def _probe(arguments: argparse.Namespace) -> Exit:
    from localist_core import SharedCore

    _check(arguments)
    config = core_config(arguments)
    core = SharedCore.load(config.model, device=config.device, dtype=config.dtype, threads=config.threads)
    return _interference(arguments, core) if arguments.noninterference else _seen(arguments, core)


def _check(arguments: argparse.Namespace) -> None:
    for name in ("messages", "measured"):
        if getattr(arguments, name) < 1:
            raise ConfigError(f"expected 1 prompt or more, got `{getattr(arguments, name)}`; correct --{name}")
    for dial in arguments.dial or ():
        if not 0.0 <= dial <= 1.0:
            raise ConfigError(f"expected dials from 0 to 1, got `{dial:g}`; correct --dial")


def _seen(arguments: argparse.Namespace, core: SharedCore) -> Exit:
    from scenarios.report.probe import probed, probed_json
    from scenarios.report.table import print_rich

    print_json(probed_json(core)) if arguments.json else print_rich(probed(core))
    return Exit.PASS


def _interference(arguments: argparse.Namespace, core: SharedCore) -> Exit:
    from localist_core.guarding.noninterference import DIALS, examine
    from scenarios.layouts import layout_of
    from scenarios.report.interference import interference, interference_json
    from scenarios.report.progress import Steps
    from scenarios.report.table import print_rich

    layout = layout_of(arguments.layout, seed=arguments.seed)

    def show(dial: float, done: int) -> None:
        steps.tell(f"dial {dial:g}", done, arguments.messages if dial == 1.0 else arguments.measured)

    with Steps.open(layout.name) as steps:
        report = examine(
            core,
            layout.frame,
            messages=arguments.messages,
            measured=arguments.measured,
            dials=DIALS if arguments.dial is None else arguments.dial,
            seed=arguments.seed,
            watch=show,
        )
    if arguments.json:
        print_json(interference_json(layout, core.capabilities, report))
    else:
        print_rich(interference(layout, core.capabilities, report))
    return Exit.PASS if report.holds else Exit.FAILED
