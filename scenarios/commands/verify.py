"""`localist verify`: what can be proved of rule sets before they run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenarios.commands.arguments import Exit, json_argument, print_json
from scenarios.commands.rule_files import FORMS, rule_sets
from scenarios.config import ConfigError

if TYPE_CHECKING:
    from scenarios.commands.arguments import Commands
    from symbolic import Answers, Joint, JointReport, Report, RuleSet


def add(commands: Commands) -> None:
    """Declare the command."""
    verify = commands.add_parser("verify", help="load-time report of a rule set: proofs, counterexamples, idle rules")
    verify.add_argument("rules", metavar="RULES", help=FORMS)
    verify.add_argument("--strict", action="store_true", help="what is not known fails too (exit code 1 instead of 3)")
    verify.add_argument(
        "--cache", type=Path, metavar="FILE", help="answers of earlier reports, kept for what is unchanged"
    )
    verify.add_argument("--html", type=Path, metavar="FILE", help="write the report as one page too, for an auditor")
    json_argument(verify)
    verify.set_defaults(command=_verify)


def _verify(arguments: argparse.Namespace) -> Exit:
    from scenarios.report.joint import joint_verification
    from scenarios.report.table import print_rich
    from scenarios.report.verification import Verifying, verification
    from scenarios.report.verification_page import page
    from symbolic import verify, verify_joint

    reports: dict[str, Report] = {}
    answers = _answers(arguments.cache)
    with Verifying.open(is_shown=not arguments.json) as progress:
        sets = rule_sets(arguments.rules)
        for role, (ruleset, safe_stop) in sets.items():
            if not ruleset.rules:
                raise ConfigError(f"expected rules in `{arguments.rules}`, got none; declare some")
            reports[role] = verify(ruleset, safe_stop=safe_stop, answers=answers, watch=progress.show(role))
        joint = _joint(arguments.rules)
        together = None if joint is None else verify_joint(*joint, watch=progress.show("joint rules"))
    if arguments.cache is not None:
        write(arguments.cache, answers.to_json())
    if arguments.html is not None:
        both = {role: (ruleset, reports[role]) for role, (ruleset, _) in sets.items()}
        write(arguments.html, page(Path(arguments.rules).name, both, together))
    if arguments.json:
        print_json(
            {"roles": {role: report.record() for role, report in reports.items()}}
            | ({} if together is None else {"joint": together.record()})
        )
    else:
        print_rich(verification(reports))
        if together is not None:
            print_rich(joint_verification(together))
    return verdict_of([*reports.values(), *([] if together is None else [together])], is_strict=arguments.strict)


def _answers(path: Path | None) -> Answers:
    """The answers that a file keeps; none where there is no file yet, or another: then a line says why."""
    from symbolic import Answers, AnswersError

    if path is None or not path.exists():
        return Answers.empty()
    try:
        return Answers.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, AnswersError) as error:
        reason = str(error) if isinstance(error, AnswersError) else f"expected text, got {type(error).__name__}"
        print(f"localist: answers in `{path}` are passed over: {reason}; all is asked anew", file=sys.stderr)
        return Answers.empty()


def write(path: Path, text: str) -> None:
    """Write a file at once: what reads it meanwhile sees the old one or the new one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(path.name + ".part")
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise ConfigError(f"expected a file that can be written at `{path}`, got {type(error).__name__}") from error


def _joint(name: str) -> tuple[Joint, dict[str, RuleSet[Any, Any]]] | None:
    """The joint rules of a scenario, and its roles."""
    from scenarios.scenario import load

    scenario = None if name.endswith((".rules", ".json")) else load(name)
    if scenario is None or scenario.joint is None:
        return None
    return scenario.joint, {role: one.rules for role, one in sorted(scenario.roles.items())}


def verdict_of(reports: Sequence[Report | JointReport], *, is_strict: bool) -> Exit:
    """What the shell is told: errors fail; what is not known is inconclusive, in strict mode a failure."""
    is_open = any(report.unknowns for report in reports)
    if any(report.errors for report in reports) or (is_strict and is_open):
        return Exit.FAILED
    return Exit.INCONCLUSIVE if is_open else Exit.PASS
