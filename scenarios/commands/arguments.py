"""What several commands have in common: arguments, exit codes, JSON on the terminal."""

from __future__ import annotations

import argparse
import json
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

from scenarios.config import DTYPES, CoreConfig

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


class Exit(IntEnum):
    """What the shell is told."""

    PASS = 0
    FAILED = 1
    """An executed violation, a broken chain, a replay that differs."""
    USAGE = 2
    """Wrong input of the user: arguments, scenario file, model directory, broker, run directory."""
    INCONCLUSIVE = 3
    """Something stayed undecided or unfinished that the answer depends on."""
    INTERRUPTED = 130
    """Ctrl-C; the trace is closed and holds all that was decided."""


def scenario_arguments(command: argparse.ArgumentParser) -> None:
    """Scenario, seed, core and `--json`."""
    command.add_argument("scenario", help="name of a shipped scenario, or path of a scenario file")
    seed_argument(command)
    core_arguments(command)
    json_argument(command)


def seed_argument(command: argparse.ArgumentParser) -> None:
    """`--seed`."""
    command.add_argument("--seed", type=int, default=0, metavar="N", help="root of all randomness (default 0)")


def core_arguments(command: argparse.ArgumentParser) -> None:
    """Which model, where, in which number format; read with `core_config`."""
    command.add_argument("--model", type=Path, metavar="DIR", help="model directory (default: the core that ships)")
    place_arguments(command)


def place_arguments(command: argparse.ArgumentParser) -> None:
    """`--device`, `--dtype`, `--threads`."""
    command.add_argument("--device", default="auto", help="auto (CUDA where torch sees it), cpu or cuda:N")
    command.add_argument("--dtype", choices=DTYPES, default="auto", help="number format of the core")
    command.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads of the core (default 1)")


def json_argument(command: argparse.ArgumentParser) -> None:
    """`--json`."""
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")


def core_config(arguments: argparse.Namespace) -> CoreConfig:
    """The core that `core_arguments` name."""
    return CoreConfig(model=arguments.model, device=arguments.device, dtype=arguments.dtype, threads=arguments.threads)


def print_json(value: object) -> None:
    """Print a value of JSON, indented."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))
