"""`localist thresholds`: at which penalty strength groups of a trained core vanish, predicted and observed."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from scenarios.commands.arguments import Exit, json_argument, print_json, seed_argument
from scenarios.config import ConfigError

if TYPE_CHECKING:
    from scenarios.commands.arguments import Commands


def add(commands: Commands) -> None:
    """Declare the command."""
    command = commands.add_parser("thresholds", help="penalty strengths at which groups vanish: predicted and observed")
    command.add_argument("model", type=Path, metavar="DIR", help="a model that `localist train` made")
    command.add_argument("--cases", type=int, default=32, metavar="N", help="cases of the data (default 32)")
    command.add_argument("--factors", type=int, default=8, metavar="N", help="factors followed (default 8)")
    command.add_argument("--free", action="store_true", help="also follow them with every weight free")
    seed_argument(command)
    json_argument(command)
    command.set_defaults(command=_thresholds)


def _thresholds(arguments: argparse.Namespace) -> Exit:
    from scenarios.report.thresholds import print_study
    from scenarios.threshold_study import study

    for name in ("cases", "factors"):
        if getattr(arguments, name) < 1:
            raise ConfigError(f"expected 1 or more, got `{getattr(arguments, name)}`; correct --{name}")
    found = study(
        arguments.model,
        num_cases=arguments.cases,
        num_factors=arguments.factors,
        is_free=arguments.free,
        seed=arguments.seed,
    )
    if arguments.json:
        print_json(asdict(found))
    else:
        print_study(found)
    return Exit.PASS
