"""`localist study`: one small architecture with and without localist training, on two corpora, with several seeds."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from scenarios.commands.arguments import Exit, json_argument, print_json
from scenarios.config import ConfigError

if TYPE_CHECKING:
    from scenarios.commands.arguments import Commands


def add(commands: Commands) -> None:
    """Declare the command."""
    study = commands.add_parser("study", help="train with and without localist training, and compare under every dial")
    study.add_argument("--out", type=Path, required=True, metavar="DIR", help="models and curves; goes on where it was")
    study.add_argument("--corpus", choices=("curriculum", "english"), help="only this one (default: both)")
    study.add_argument("--seeds", type=int, default=3, metavar="N", help="models of each kind (default 3)")
    study.add_argument("--first-seed", type=int, default=0, metavar="N", help="seeds N, N+1, ... (default 0)")
    for name in ("leak", "focus", "margin"):
        text = f"another weight of the {name} loss in localist training; use another --out"
        study.add_argument(f"--{name}", type=float, metavar="W", help=text)
    study.add_argument("--split", choices=("dev", "test"), default="test", help="held-out lessons (default test)")
    study.add_argument("--documents", type=Path, metavar="DIR", help="english: sources of Python's documentation")
    study.add_argument("--minutes", type=float, metavar="M", help="stop after M minutes of wall-clock time")
    study.add_argument("--smoke", action="store_true", help="tiny models for some steps: shows that the path works")
    study.add_argument("--report", action="store_true", help="train and examine nothing, only print what there is")
    json_argument(study)
    study.set_defaults(command=_study)


def _study(arguments: argparse.Namespace) -> Exit:
    from scenarios import english
    from scenarios.report.progress import Steps
    from scenarios.report.study import study_json, study_tables
    from scenarios.report.table import print_rich
    from scenarios.study import CORPORA, Weights, compared, run_trials, trials

    minutes = math.inf if arguments.minutes is None else arguments.minutes
    if arguments.seeds < 1 or not minutes > 0:
        raise ConfigError(
            f"expected 1 seed or more and more than 0 minutes, got `{arguments.seeds}` and `{arguments.minutes}`"
        )
    corpora = CORPORA if arguments.corpus is None else (arguments.corpus,)
    weights = Weights(leak=arguments.leak, focus=arguments.focus, margin=arguments.margin)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    wanted = trials(corpora, seeds, weights=weights, is_smoke=arguments.smoke)
    is_complete = True
    if not arguments.report:
        with Steps.open("study") as steps:
            is_complete = run_trials(
                wanted,
                arguments.out,
                arguments.split,
                documents=arguments.documents or english.FOLDER,
                minutes=minutes,
                watch=steps.tell,
            )
    found = compared(wanted, arguments.out, arguments.split)
    print_json(study_json(found, arguments.split)) if arguments.json else print_rich(
        study_tables(found, arguments.split)
    )
    return Exit.PASS if is_complete and found else Exit.INCONCLUSIVE
