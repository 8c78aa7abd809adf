"""`localist dial-curve`: entropy, fidelity, perplexity, accuracy and compliance of a core against the dial."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from localist_core.dial import DialKind
from scenarios.commands.arguments import Exit, json_argument, print_json, seed_argument
from scenarios.config import ConfigError

if TYPE_CHECKING:
    from scenarios.commands.arguments import Commands
    from scenarios.data import Data


def add(commands: Commands) -> None:
    """Declare the command."""
    curve = commands.add_parser("dial-curve", help="entropy, fidelity, perplexity and accuracy against the dial")
    curve.add_argument("--model", type=Path, metavar="DIR", help="model directory (default: the core that ships)")
    data_arguments(curve, lessons=128)
    curve.add_argument("--dial", choices=get_args(DialKind), default="floor", help="what a value means (default floor)")
    curve.add_argument("--out", type=Path, metavar="DIR", help="leave curve.json, curve.csv and curve.svg there")
    curve.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (default 1)")
    seed_argument(curve)
    json_argument(curve)
    curve.set_defaults(command=_curve)


def data_arguments(command: argparse.ArgumentParser, *, lessons: int) -> None:
    """On which held-out lessons; read with `data_of`."""
    command.add_argument("--data", choices=("curriculum", "english"), default="curriculum", help="default curriculum")
    command.add_argument("--share", type=float, metavar="S", help="curriculum: n_S / n (default 0.5)")
    command.add_argument("--control", action="store_true", help="english: random paragraphs as targets")
    command.add_argument("--documents", type=Path, metavar="DIR", help="english: sources of Python's documentation")
    command.add_argument("--lessons", type=int, default=lessons, metavar="N", help=f"default {lessons}")


def data_of(arguments: argparse.Namespace) -> Data:
    """The lessons that `data_arguments` name.

    Raises:
        ConfigError: arguments of one kind of lessons with the other kind.
    """
    from scenarios.data import Data

    is_english = arguments.data == "english"
    if is_english and arguments.share is not None:
        raise ConfigError("expected --share with the curriculum only, got it with `--data english`; leave it out")
    if not is_english and (arguments.control or arguments.documents is not None):
        raise ConfigError("expected --control and --documents with `--data english` only; name it, or leave them out")
    return Data(
        kind=arguments.data,
        share=0.5 if arguments.share is None else arguments.share,
        is_control=arguments.control,
        documents=arguments.documents,
        count=arguments.lessons,
        seed=arguments.seed,
    )


def _curve(arguments: argparse.Namespace) -> Exit:
    import torch

    from scenarios.curve import dial_curve
    from scenarios.curve_files import curve_json, write_csv, write_json
    from scenarios.data import localist_model
    from scenarios.report.curve import curve_tables, demand_plots, plot
    from scenarios.report.progress import Steps
    from scenarios.report.table import print_rich

    if arguments.threads < 1:
        raise ConfigError(f"expected 1 thread or more, got `{arguments.threads}`; correct --threads")
    if arguments.out is not None:
        demand_plots()  # before the work, not after it
    torch.set_num_threads(arguments.threads)
    data = data_of(arguments)
    loaded = localist_model(arguments.model)
    lessons = data.lessons(loaded.folder)
    with Steps.open("examining") as steps:
        curve = dial_curve(
            loaded.model, lessons, name=loaded.name, data=data.name, seed=data.seed, dial=arguments.dial,
            watch=steps.show,
        )  # fmt: skip
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_json(curve, arguments.out / "curve.json")
        write_csv(curve, arguments.out / "curve.csv")
        plot([curve], arguments.out / "curve.svg")
    print_json(curve_json(curve)) if arguments.json else print_rich(curve_tables(curve))
    return Exit.PASS
