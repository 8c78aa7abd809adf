"""The command `localist`: reads arguments, calls one function for each command, prints, and gives the exit code.

Exit codes: 0 pass; 1 a rule or an assertion failed; 2 the user's input; 3 inconclusive; 130 interrupted by Ctrl-C.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Never

from scenarios.commands import (
    anchors,
    audit,
    bounds,
    dial_curve,
    plot,
    probe,
    profile,
    recompute,
    rules,
    study,
    thresholds,
    train,
    tune,
    verify,
)
from scenarios.commands.arguments import Exit, core_config, json_argument, print_json, scenario_arguments
from scenarios.config import BusConfig, ConfigError, Part, RunConfig, parts_of

if TYPE_CHECKING:  # commands import what they need when they run: `localist trace` then loads no model
    from agents.recording.trace import Step, Trace
    from scenarios.report.summary import Summary


COMMANDS = (
    audit,
    train,
    rules,
    probe,
    plot,
    thresholds,
    profile,
    tune,
    dial_curve,
    bounds,
    study,
    verify,
    recompute,
    anchors,
)
"""What studies or makes a core; see `scenarios/commands`."""


class _Parser(argparse.ArgumentParser):
    """An argument parser whose mistakes are one line and exit code 2."""

    def error(self, message: str) -> Never:
        raise ConfigError(f"{message}; see `{self.prog} --help`")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the result is its exit code."""
    foreign = foreign_agents()
    if foreign is not None:
        return _complain(
            f"expected our package `agents`, got another one at `{foreign}`; use an environment without it"
        )
    try:
        arguments = parser().parse_args(argv)
        command: Callable[[argparse.Namespace], Exit] = arguments.command
        return command(arguments)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone, and that is all
        return Exit.PASS
    except KeyboardInterrupt as stop:
        return _complain(str(stop) or "interrupted", Exit.INTERRUPTED)
    except Exception as error:
        if not is_users(error):
            raise
        return _complain(" ".join(str(error).split()))


def parser() -> argparse.ArgumentParser:
    """All commands and their arguments."""
    root = _Parser(prog="localist", description="Run and inspect multi-agent scenarios with a localist core.")
    commands = root.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    run = commands.add_parser("run", help="run a scenario, print one table, leave a trace")
    scenario_arguments(run)
    run.add_argument(
        "--episodes", type=int, default=1, metavar="N", help="episodes, seeds SEED, SEED+1, ... (default 1)"
    )
    run.add_argument("--bus", choices=("local", "mqtt"), default="local", help="how agents reach each other")
    run.add_argument("--broker", metavar="URL", help="a broker that runs already, mqtt://host:port (with --bus mqtt)")
    run.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="PART",
        help=f"switch a part off: {', '.join(Part)}; repeatable",
    )
    run.add_argument(
        "--profile", type=Path, metavar="FILE", help="heads, dials and targets, made by `localist profile` or `tune`"
    )
    run.add_argument(
        "--reload",
        action="append",
        default=[],
        metavar="TICK[:ROLE]=RULES",
        help="propose other rules over the bus, to decide from that tick on; repeatable",
    )
    run.add_argument("--key", type=Path, metavar="FILE", help="key that proposals are signed with (localist rules key)")
    run.add_argument(
        "--out", type=Path, metavar="DIR", help="run directory (default runs/NAME-SEED, the first free one)"
    )
    run.set_defaults(command=_run)

    trace = commands.add_parser("trace", help="why did an agent decide as it did")
    _recorded_run(trace)
    trace.add_argument("--agent", required=True, help="such as car-1")
    trace.add_argument("--step", type=int, required=True, help="tick of the run, from 0")
    trace.set_defaults(command=_trace)

    assess = commands.add_parser("assess", help="does this core read my rules? sampled states, per rule")
    scenario_arguments(assess)
    assess.add_argument("--states", type=int, default=1000, metavar="N", help="states sampled per role (default 1000)")
    assess.set_defaults(command=_assess)

    report = commands.add_parser("report", help="print the table of a recorded run again")
    _recorded_run(report)
    report.set_defaults(command=_report)

    replay = commands.add_parser("replay", help="run a recorded run again without its model and compare")
    _recorded_run(replay)
    replay.set_defaults(command=_replay)

    for command in COMMANDS:
        command.add(commands)
    return root


def _recorded_run(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", type=Path, metavar="RUN", help="directory of a recorded run")
    json_argument(command)


def foreign_agents() -> str | None:
    """Where a package `agents` lies that is not ours but would be imported in its place; None if all is well."""
    spec = importlib.util.find_spec("agents")
    origin = next(iter(spec.submodule_search_locations or ()), None) if spec else None
    ours = Path(__file__).resolve().parent.parent / "agents"
    return None if origin is not None and Path(origin).resolve() == ours else origin or "nowhere"


def is_users(error: Exception) -> bool:
    """Whether an exception tells of the user's input, model, broker or disk, and not of a mistake of ours."""
    from agents.messaging import MessagingError
    from agents.recording.errors import RecordingError
    from localist_core.errors import CoreError
    from scenarios.scenario import ScenarioError
    from scenarios.setting import SettingError
    from symbolic import DomainError, RuleError, StoreError

    ours = ConfigError, SettingError, RecordingError, CoreError, ScenarioError, MessagingError
    theirs = DomainError, RuleError, StoreError
    return isinstance(error, ours + theirs)


def _complain(line: str, code: Exit = Exit.USAGE) -> Exit:
    print(f"localist: {line}", file=sys.stderr)
    return code


def _run(arguments: argparse.Namespace) -> Exit:
    from agents.messaging import Identity
    from scenarios.commands.reload import reload_of
    from scenarios.reloading import identity_of
    from scenarios.report.progress import LiveProgress
    from scenarios.report.summary import summarise
    from scenarios.report.table import print_summary
    from scenarios.run import run
    from scenarios.setting import Setting

    identity = identity_of(arguments.seed) if arguments.key is None else Identity.load(arguments.key)

    config = RunConfig(
        scenario=arguments.scenario,
        seed=arguments.seed,
        episodes=arguments.episodes,
        core=core_config(arguments),
        bus=BusConfig(kind=arguments.bus, broker=arguments.broker),
        without=parts_of(arguments.without),
        setting=None if arguments.profile is None else Setting.load(arguments.profile),
        reloads=tuple(reload_of(text, arguments.scenario) for text in arguments.reload),
        operator=identity.public if arguments.reload else "",
    )
    with LiveProgress.open(config) as progress:
        path = run(config, out=arguments.out, watch=progress.show, identity=identity)
    summary = summarise(path)
    print_json(summary.model_dump(mode="json")) if arguments.json else print_summary(summary)
    return verdict_of(summary)


def _report(arguments: argparse.Namespace) -> Exit:
    from scenarios.report.summary import summarise
    from scenarios.report.table import print_summary

    summary = summarise(arguments.run)
    print_json(summary.model_dump(mode="json")) if arguments.json else print_summary(summary)
    return verdict_of(summary)


def verdict_of(summary: Summary) -> Exit:
    """What a run tells the shell: executed violations fail, an undecided or unfinished run is inconclusive."""
    if summary.violations.executed or summary.rechecks.mismatches:
        return Exit.FAILED
    is_open = summary.checks.undecided > 0 or bool(summary.rechecks.inconclusive) or summary.status != "complete"
    return Exit.INCONCLUSIVE if is_open else Exit.PASS


def _trace(arguments: argparse.Namespace) -> Exit:
    from agents.recording.trace import Trace
    from scenarios.report.table import print_rich
    from scenarios.report.why import why, why_json

    trace = Trace.read(arguments.run)
    step = step_of(trace, arguments.agent, arguments.step)
    print_json(why_json(trace, step)) if arguments.json else print_rich(why(trace, step))
    return Exit.PASS


def step_of(trace: Trace, agent: str, tick: int) -> Step:
    """The step that a user names.

    Raises:
        ConfigError: the run knows no such agent, or nothing was recorded of it in that tick.
    """
    agents = trace.header.agents
    if agent not in agents:
        raise ConfigError(f"expected an agent among {', '.join(agents)}, got `{agent}`; correct --agent")
    try:
        return trace.step(agent, tick=tick)
    except KeyError:
        ticks = [step.tick for step in trace.steps(agent)]
        span = f"{min(ticks)} to {max(ticks)}" if ticks else "none"
        raise ConfigError(f"expected a step of `{agent}` ({span} were recorded), got {tick}; correct --step") from None


def _assess(arguments: argparse.Namespace) -> Exit:
    from scenarios.assess import assess
    from scenarios.report.assessment import assessment, assessment_json
    from scenarios.report.table import print_rich
    from scenarios.run import load_core
    from scenarios.scenario import load

    if arguments.states < 1:
        raise ConfigError(f"expected 1 state or more, got `{arguments.states}`; correct --states")
    scenario, core = load(arguments.scenario), load_core(core_config(arguments))
    roles = assess(scenario, core, states=arguments.states, seed=arguments.seed)
    if arguments.json:
        print_json(assessment_json(scenario.name, core.capabilities, roles))
    else:
        print_rich(assessment(scenario.name, core.capabilities, roles))
    return Exit.PASS


def _replay(arguments: argparse.Namespace) -> Exit:
    from scenarios.replay import replay

    divergence = replay(arguments.run)
    if arguments.json:
        print_json({"is_equal": divergence is None, "divergence": divergence})
    else:
        print("equal: every record, hash by hash" if divergence is None else f"differs: {divergence}")
    return Exit.PASS if divergence is None else Exit.FAILED
