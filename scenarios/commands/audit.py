"""`localist audit`: recheck a recorded run, without its model; with `--z3` every verdict is decided again too."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from scenarios.commands.arguments import Exit, json_argument, print_json
from scenarios.config import ConfigError

if TYPE_CHECKING:
    from agents.recording.audit import Audit
    from scenarios.commands.arguments import Commands
    from scenarios.redecided import SolverAudit


def add(commands: Commands) -> None:
    """Declare the command."""
    audit = commands.add_parser("audit", help="recheck hash chains and verdicts of a recorded run")
    audit.add_argument("run", type=Path, metavar="RUN", help="directory of a recorded run, or a trace file")
    audit.add_argument("--z3", action="store_true", help="decide every verdict again with Z3")
    audit.add_argument(
        "--scenario", default="", metavar="SCENARIO", help="scenario file of the run, where its rules remember"
    )
    json_argument(audit)
    audit.set_defaults(command=_audit)


def _audit(arguments: argparse.Namespace) -> Exit:
    from agents.recording.audit import audit_run, audit_trace
    from agents.recording.verdicts import audit_verdicts
    from scenarios.remembered import audit_memories

    run: Path = arguments.run
    if arguments.z3 and not run.is_dir():
        raise ConfigError(f"expected a run directory for --z3, got `{run}`; the rules lie beside the trace")
    audit = audit_run(run) if run.is_dir() else audit_trace(run)
    verdicts = audit_verdicts(run) if audit.is_intact and run.is_dir() else None
    left_open = ""
    if verdicts is not None:
        memories = audit_memories(run, arguments.scenario)
        audit, left_open = replace(audit, findings=(*verdicts.findings, *memories.findings)), memories.left_open
    checked = {} if verdicts is None else {"confirmed": verdicts.num_confirmed, "open": verdicts.num_open}
    solved: dict[str, int] = {}
    if arguments.z3 and audit.is_intact:
        found = _redecided(run)
        audit = replace(audit, findings=found.findings)
        solved = {
            "confirmed": found.num_confirmed,
            "mismatched": found.num_mismatched,
            "inconclusive": found.num_inconclusive,
        }
    _show(audit, checked, solved, left_open, arguments)
    if not audit.is_intact:
        return Exit.FAILED
    is_open = bool(checked.get("open") or solved.get("inconclusive") or left_open)
    return Exit.INCONCLUSIVE if is_open else Exit.PASS


def _redecided(run: Path) -> SolverAudit:
    from scenarios.redecided import redecide_run
    from scenarios.report.progress import Steps

    with Steps.open(f"Z3 on {run}") as steps:
        return redecide_run(run, watch=steps.show)


def _show(
    audit: Audit, checked: dict[str, int], solved: dict[str, int], left_open: str, arguments: argparse.Namespace
) -> None:
    if arguments.json:
        found = {"verdicts": checked or None, "z3": solved or None, "memory_open": left_open or None}
        print_json({"is_intact": audit.is_intact, **asdict(audit), **found})
        return
    for finding in audit.findings:
        print(f"{finding.owner}, record {finding.index}: {finding.problem}: {finding.detail}")
    state = "intact" if audit.is_intact else f"{len(audit.findings)} findings"
    print(f"{state}: {audit.num_records} records, {audit.num_decisions} decisions, {audit.status}")
    print(f"verdicts: {_counted(checked)}")
    if arguments.z3:
        print(f"Z3: {_counted(solved)}")
    if left_open:
        print(f"memory not checked: {left_open}")
    print(f"sha256 of the trace: {audit.trace_sha256}")


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "not checked again"
