"""`localist anchors`: which words name each rule to a given model, and what other names do to it."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from scenarios.commands.arguments import Exit, core_config, print_json, scenario_arguments
from scenarios.config import ConfigError

if TYPE_CHECKING:
    from scenarios.commands.arguments import Commands


def add(commands: Commands) -> None:
    """Declare the command."""
    anchors = commands.add_parser("anchors", help="which words name each rule to this core, and other ways of naming")
    scenario_arguments(anchors)
    anchors.add_argument(
        "--states", type=int, default=200, metavar="N", help="states of each role to design by, others to report on"
    )
    anchors.add_argument("--drop", type=float, default=0.1, metavar="P", help="noise: chance that a word is lost")
    anchors.add_argument(
        "--swap", type=float, default=0.1, metavar="P", help="noise: chance that it is read as another"
    )
    anchors.add_argument(
        "--rate", type=float, default=8.0, metavar="BITS", help="entropy that a gain in fidelity of 1 may cost"
    )
    anchors.add_argument("--margin", type=float, default=0.0, metavar="NATS", help="least margin of a word")
    anchors.add_argument("--most", type=int, default=3, metavar="N", help="words of one anchor at most")
    anchors.add_argument("--leak", type=float, default=0.05, metavar="EPS", help="wanted leak, for the temperatures")
    anchors.set_defaults(command=_anchors)


def _anchors(arguments: argparse.Namespace) -> Exit:
    from localist_core import SharedCore
    from localist_core.proving.anchors import AnchorError, Noise, Terms
    from scenarios.anchoring import anchoring
    from scenarios.asked import PromptKind, split
    from scenarios.report.anchors import anchors_json, anchors_report
    from scenarios.report.table import print_rich
    from scenarios.report.trials import TrialProgress
    from scenarios.run import load_core
    from scenarios.scenario import load

    if arguments.states < 1:
        raise ConfigError(f"expected 1 state or more, got `{arguments.states}`; correct --states")
    if not 0.0 < arguments.leak < 1.0:
        raise ConfigError(f"expected a leak between 0 and 1, got `{arguments.leak}`; correct --leak")
    scenario = load(arguments.scenario)
    found = []
    try:
        noise = Noise(drop=arguments.drop, swap=arguments.swap)
        terms = Terms(noise=noise, bits_per_fidelity=arguments.rate, least_margin=arguments.margin, most=arguments.most)
        core = load_core(core_config(arguments))
        assert isinstance(core, SharedCore)
        with TrialProgress.open("anchors", None) as progress:
            for name, role in sorted(scenario.roles.items()):
                own = replace(scenario, roles={name: role})
                parts = [
                    split(own, (PromptKind.PLAIN,), arguments.states, arguments.seed, f"anchors-{part}/{name}")
                    for part in ("choose", "report")
                ]
                found.append(
                    anchoring(
                        core,
                        name,
                        role,
                        choosing=parts[0],
                        reporting=parts[1],
                        terms=terms,
                        leak=arguments.leak,
                        watch=progress.show,
                    )
                )
    except AnchorError as error:
        raise ConfigError(str(error)) from error
    if arguments.json:
        print_json(anchors_json(scenario.name, core.capabilities, found))
    else:
        print_rich(anchors_report(scenario.name, core.capabilities, found))
    return Exit.PASS
