"""`localist profile`: which heads to steer, as a file that a run can name."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from scenarios.commands.arguments import Exit, core_arguments, core_config, json_argument, print_json, seed_argument
from scenarios.commands.trials import (
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


def add(commands: Commands) -> None:
    """Declare the command."""
    profile = commands.add_parser("profile", help="which heads to steer: a file that a run can name")
    trial_arguments(profile)
    profile.add_argument("--out", type=Path, required=True, metavar="FILE", help="the profile (docs/setting.md)")
    profile.add_argument("--dial", type=float, default=0.8, metavar="V", help="the dial on every set (default 0.8)")
    profile.add_argument("--kind", choices=("floor", "odds"), default="floor", help="what the dial means")
    profile.add_argument(
        "--targets", choices=("trusted", "applying", "restated"), default="applying", help="what answers rest on"
    )
    profile.add_argument("--by", choices=("head", "layer"), default="head", help="rank heads one by one, or layers")
    kinds_argument(profile)
    seed_argument(profile)
    core_arguments(profile)
    json_argument(profile)
    profile.set_defaults(command=_profile)


def _profile(arguments: argparse.Namespace) -> Exit:
    from agents.deciding import Resting
    from localist_core import DialSchedule, SharedCore
    from scenarios.asked import Steering, split
    from scenarios.profiling import groups_of, num_trials, profile
    from scenarios.report.profile import profile_json, profile_report
    from scenarios.report.table import print_rich
    from scenarios.report.trials import TrialProgress
    from scenarios.run import load_core
    from scenarios.setting import Setting, model_of

    check_counts(arguments)
    if not 0.0 < arguments.dial <= 1.0:
        raise ConfigError(f"expected a dial above 0 and at most 1, got `{arguments.dial}`; correct --dial")
    kinds, scenario = kinds_of(arguments), source_of(arguments)
    schedule = DialSchedule(start=arguments.dial, step=0.0, top=arguments.dial, kind=arguments.kind)
    steering = Steering(schedule, Resting(arguments.targets))
    choosing = split(scenario, kinds, arguments.choose, arguments.seed, "profile-choose")
    reporting = split(scenario, kinds, arguments.report, arguments.seed, "profile-report")
    core = load_core(core_config(arguments))
    assert isinstance(core, SharedCore)
    num_layers, num_heads = core.pointers(choosing.questions[0].request(steering)).shape[:2]
    groups = groups_of(num_layers, num_heads, by_layer=arguments.by == "layer")
    options: dict[str, JsonValue] = {name: getattr(arguments, name) for name in ("dial", "kind", "targets", "by")}
    work = ledger_work(arguments, "profile", core.capabilities, **options)
    with ledger_beside(arguments, work) as ledger, TrialProgress.open("profile", num_trials(len(groups))) as progress:
        ledger.watch = progress.show
        found = profile(
            core,
            groups,
            steering,
            choosing=choosing,
            reporting=reporting,
            seed=arguments.seed,
            ledger=ledger,
        )
    made: dict[str, JsonValue] = {**work, **profile_json(found)}
    setting = Setting(
        core=core.capabilities.name,
        model=model_of(core.capabilities),
        heads=found.chosen,
        targets=arguments.targets,
        made=made,
    )
    setting.save(arguments.out)
    if arguments.json:
        print_json({**setting.settings(), "made": made})
    else:
        print_rich(profile_report(core.capabilities, arguments.scenario, found))
        print(f"profile: {arguments.out}")
    return Exit.PASS if found.helps else Exit.INCONCLUSIVE
