"""What `localist profile` and `localist tune` have in common: where questions come from, how many, and the ledger."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from scenarios.config import ConfigError

if TYPE_CHECKING:
    from localist_core import Capabilities
    from scenarios.asked import PromptKind
    from scenarios.scenario import Scenario
    from scenarios.trials import Ledger

CURRICULUM = "curriculum"
"""Stands for the curriculum's held-out domains in place of a scenario."""
KINDS = ("plain", "long", "raw", "injected")


def trial_arguments(command: argparse.ArgumentParser) -> None:
    """Source, counts and `--resume`."""
    command.add_argument(
        "scenario", metavar="SCENARIO", help=f"a scenario, by name or path; or `{CURRICULUM}`: held-out random domains"
    )
    command.add_argument(
        "--choose", type=int, default=60, metavar="N", help="questions of each kind to choose by (default 60)"
    )
    command.add_argument(
        "--report", type=int, default=300, metavar="N", help="other questions of each kind to report on (default 300)"
    )
    command.add_argument("--resume", action="store_true", help="go on with the trials in FILE.ledger")


def kinds_argument(command: argparse.ArgumentParser) -> None:
    """`--prompts`."""
    command.add_argument(
        "--prompts",
        action="append",
        default=[],
        metavar="KIND",
        help=f"kind of prompt: {', '.join(KINDS)}; repeatable (default all but plain)",
    )


def check_counts(arguments: argparse.Namespace) -> None:
    """Refuse splits without questions."""
    for option in ("choose", "report"):
        if getattr(arguments, option) < 1:
            raise ConfigError(f"expected 1 question or more, got `{getattr(arguments, option)}`; correct --{option}")


def kinds_of(arguments: argparse.Namespace) -> Sequence[PromptKind]:
    """The kinds of prompt that are asked for, each once."""
    from scenarios.asked import HARD, PromptKind

    words = [word for given in arguments.prompts for word in given.split(",") if word]
    for word in words:
        if word not in KINDS:
            raise ConfigError(f"expected a kind of prompt among {', '.join(KINDS)}, got `{word}`; correct --prompts")
    return tuple(map(PromptKind, dict.fromkeys(words))) or HARD


def source_of(arguments: argparse.Namespace) -> Scenario | None:
    """The scenario that questions come from; None = the curriculum."""
    from scenarios.scenario import load

    return None if arguments.scenario == CURRICULUM else load(arguments.scenario)


def ledger_work(
    arguments: argparse.Namespace, command: str, core: Capabilities, **more: JsonValue
) -> dict[str, JsonValue]:
    """What a piece of work is: equal work may go on with a ledger, and the file says how it was made."""
    return {
        "command": command,
        "source": arguments.scenario,
        "seed": arguments.seed,
        "prompts": [kind.value for kind in kinds_of(arguments)],
        "choose": arguments.choose,
        "report": arguments.report,
        "fingerprint": core.fingerprint,
        **more,
    }


@contextmanager
def ledger_beside(arguments: argparse.Namespace, work: dict[str, JsonValue]) -> Iterator[Ledger]:
    """The ledger FILE.ledger; gone when the work is done."""
    from scenarios.trials import Ledger

    path = Path(f"{arguments.out}.ledger")
    yield Ledger.open(path, work, resume=arguments.resume)
    path.unlink(missing_ok=True)
