"""`localist tune`: how to set the dial, and how much each setting matters; margin and penalty by short trainings."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from scenarios.commands.arguments import Exit, core_arguments, core_config, json_argument, print_json, seed_argument
from scenarios.commands.trials import (
    CURRICULUM,
    check_counts,
    kinds_argument,
    kinds_of,
    ledger_beside,
    ledger_work,
    source_of,
    trial_arguments,
)
from scenarios.config import ConfigError

if TYPE_CHECKING:
    from scenarios.commands.arguments import Commands

FIRST = 9
"""The whole grid meets the first ninth of the questions for choosing."""


def add(commands: Commands) -> None:
    """Declare the command."""
    tune = commands.add_parser("tune", help="how to set the dial, and how much each setting matters")
    trial_arguments(tune)
    tune.set_defaults(choose=72)
    tune.add_argument("--out", type=Path, metavar="FILE", help="the setting (docs/setting.md); required for it")
    tune.add_argument("--profile", type=Path, metavar="FILE", help="steer the heads of this profile (default: all)")
    tune.add_argument("--csv", type=Path, metavar="FILE", help="every setting tried, as rows")
    tune.add_argument(
        "--temperatures",
        default="0.5,0.8,1.25,2",
        metavar="TAU,...",
        help="temperatures of attention tried beside 1, empty = none",
    )
    tune.add_argument(
        "--training",
        type=Path,
        metavar="DIR",
        help="instead of the dial: margin and penalty strength, by short trainings of small cores in DIR",
    )
    tune.add_argument(
        "--tokens", type=int, default=600_000, metavar="N", help="prompt tokens of each training (default 600000)"
    )
    kinds_argument(tune)
    seed_argument(tune)
    core_arguments(tune)
    json_argument(tune)
    tune.set_defaults(command=_tune)


def _tune(arguments: argparse.Namespace) -> Exit:
    if arguments.training is not None:
        return _train(arguments)
    if arguments.out is None:
        raise ConfigError("expected --out FILE for the setting, got none; name a file")
    return _steer(arguments)


def _train(arguments: argparse.Namespace) -> Exit:
    from scenarios.recipes import recipes, trainings
    from scenarios.report.recipes import save_trained, told, trained_json, trained_report
    from scenarios.report.table import print_rich
    from scenarios.report.trials import TrialProgress

    if arguments.scenario != CURRICULUM:
        raise ConfigError(f"expected `{CURRICULUM}` to train on, got `{arguments.scenario}`; only it has lessons")
    if arguments.tokens < 1:
        raise ConfigError(f"expected 1 token or more, got `{arguments.tokens}`; correct --tokens")
    found = []
    with TrialProgress.open("trainings", len(recipes(arguments.tokens, arguments.seed))) as progress:
        made = trainings(
            arguments.training,
            arguments.tokens,
            arguments.seed,
            resume=arguments.resume,
            report=lambda name, state: progress.say(told(name, state)),
        )
        for one in made:
            found.append(one)
            progress.show(one.recipe)
    if arguments.csv is not None:
        save_trained(found, arguments.csv)
    print_json(trained_json(found)) if arguments.json else print_rich(trained_report(found))
    return Exit.PASS


def _steer(arguments: argparse.Namespace) -> Exit:
    from scenarios.asked import split
    from scenarios.calibration import calibration
    from scenarios.report.table import print_rich
    from scenarios.report.trials import TrialProgress
    from scenarios.report.tuning import Tuned, save_csv, tuned_json, tuned_report
    from scenarios.run import load_core
    from scenarios.setting import DialPart, Setting, model_of
    from scenarios.tuning import Grid, tune

    check_counts(arguments)
    taus = temperatures_of(arguments.temperatures)
    kinds, scenario = kinds_of(arguments), source_of(arguments)
    choosing = split(scenario, kinds, arguments.choose, arguments.seed, "tune-choose")
    reporting = split(scenario, kinds, arguments.report, arguments.seed, "tune-report")
    core = load_core(core_config(arguments))
    own = None if arguments.profile is None else Setting.load(arguments.profile)
    if own is not None:
        own.check(core.capabilities)
    heads = None if own is None or own.heads is None else frozenset(own.heads)
    listed: JsonValue = None if heads is None else [[layer, head] for layer, head in sorted(heads)]
    work = ledger_work(arguments, "tune", core.capabilities, heads=listed)
    with ledger_beside(arguments, work) as ledger, TrialProgress.open("tune", None) as progress:
        ledger.watch = progress.show
        first = max(len(kinds), arguments.choose // FIRST * len(kinds))
        tuning = tune(core, Grid(), heads, choosing=choosing, reporting=reporting, first=first, ledger=ledger)
        best = tuning.winner.steering(heads)
        found = Tuned(
            tuning=tuning,
            heated={
                tau: ledger.trial(load_core(core_config(arguments), temperature=tau), choosing, best) for tau in taus
            },
            calibration=calibration(
                core, best, choosing=choosing, reporting=reporting.part(0, len(choosing.questions))
            ),
        )
    made: dict[str, JsonValue] = {**work, **tuned_json(found)}
    setting = Setting(
        core=core.capabilities.name,
        model=model_of(core.capabilities),
        heads=None if heads is None else tuple(sorted(heads)),
        dial=DialPart.of(best.schedule),
        targets=best.resting.value,
        made=made,
    )
    setting.save(arguments.out)
    if arguments.csv is not None:
        save_csv(found, arguments.csv)
    if arguments.json:
        print_json({**setting.settings(), "made": made})
    else:
        print_rich(tuned_report(core.capabilities, arguments.scenario, found))
        print(f"setting: {arguments.out}")
    return Exit.PASS


def temperatures_of(text: str) -> tuple[float, ...]:
    """Temperatures from a list with commas.

    Raises:
        ConfigError: one that is none.
    """
    try:
        found = tuple(float(word) for word in text.split(",") if word.strip())
    except ValueError:
        found = (0.0,)
    if not all(0.0 < tau < float("inf") for tau in found):
        raise ConfigError(f"expected temperatures above 0, got `{text}`; correct --temperatures")
    return found
