"""`localist audit`: recheck a recorded run, without its model; with `--z3` every verdict is decided again too."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from scenarios.commands.arguments import Exit, json_argument, print_json
from scenarios.config import ConfigError

if TYPE_CHECKING:
    from agents.recording.audit import Audit, Finding
    from scenarios.commands.arguments import Commands
    from scenarios.redecided import SolverAudit


def add(commands: Commands) -> None:
    """Declare the command."""
    audit = commands.add_parser("audit", help="recheck hash chains and verdicts of a recorded run")
    audit.add_argument("run", type=Path, metavar="RUN", help="directory of a recorded run, or a trace file")
    audit.add_argument("--z3", action="store_true", help="decide every verdict again with Z3")
    json_argument(audit)
    audit.set_defaults(command=_audit)


def _audit(arguments: argparse.Namespace) -> Exit:
    from agents.recording.audit import audit_run, audit_trace
    from agents.recording.verdicts import audit_verdicts

    run: Path = arguments.run
    if arguments.z3 and not run.is_dir():
        raise ConfigError(f"expected a run directory for --z3, got `{run}`; the rules lie beside the trace")
    audit = audit_run(run) if run.is_dir() else audit_trace(run)
    verdicts = audit_verdicts(run) if audit.is_intact and run.is_dir() else None
    if verdicts is not None:
        audit = replace(audit, findings=(*verdicts.findings, *_remembered(run)))
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
    _show(audit, checked, solved, arguments)
    if not audit.is_intact:
        return Exit.FAILED
    return Exit.INCONCLUSIVE if checked.get("open") or solved.get("inconclusive") else Exit.PASS


def _remembered(run: Path) -> list[Finding]:
    """What agents said to remember and did not; nothing is looked at where no recorded facts remember anything."""
    from agents.recording.trace import Trace
    from scenarios.remembered import audit_memories, has_memory

    return audit_memories(run) if has_memory(Trace.read(run)) else []


def _redecided(run: Path) -> SolverAudit:
    from scenarios.redecided import redecide_run
    from scenarios.report.progress import Steps

    with Steps.open(f"Z3 on {run}") as steps:
        return redecide_run(run, watch=steps.show)


def _show(audit: Audit, checked: dict[str, int], solved: dict[str, int], arguments: argparse.Namespace) -> None:
    if arguments.json:
        print_json({"is_intact": audit.is_intact, **asdict(audit), "verdicts": checked or None, "z3": solved or None})
        return
    for finding in audit.findings:
        print(f"{finding.owner}, record {finding.index}: {finding.problem}: {finding.detail}")
    state = "intact" if audit.is_intact else f"{len(audit.findings)} findings"
    print(f"{state}: {audit.num_records} records, {audit.num_decisions} decisions, {audit.status}")
    print(f"verdicts: {_counted(checked)}")
    if arguments.z3:
        print(f"Z3: {_counted(solved)}")
    print(f"sha256 of the trace: {audit.trace_sha256}")


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "not checked again"
