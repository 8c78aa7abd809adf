"""Decides every recorded verdict of a finished run again with Z3, from the record and the rules beside it alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.recording.audit import Finding
from agents.recording.canonical import canonical, sha256_hex
from agents.recording.log import RULES
from agents.recording.trace import Trace
from agents.recording.verdicts import RecordedVerdict, recorded_verdicts
from symbolic import NO, YES, Action, DomainError, Facts, RuleError, RuleSet
from symbolic.reloading.loading import load_rules
from symbolic.solving.redecision import Redecision, redecide
from symbolic.solving.session import Found

BATCH = 64
"""Verdicts decided again between two looks at the progress."""

Noted = tuple[Facts, Action, Sequence[Found]]

Redecide = Callable[[RuleSet[Any, Any], Sequence[Noted]], Redecision]
"""Decides verdicts of one rule set again."""

Watch = Callable[[int, int], None]
"""Told how many verdicts are done, of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SolverAudit:
    """What Z3 says of the verdicts of a run; each is confirmed, contradicted or inconclusive."""

    num_confirmed: int
    num_mismatched: int
    num_inconclusive: int
    """Not decided again: undecided then, without recorded facts or rules, or beyond the solver."""
    findings: tuple[Finding, ...]
    """One for each rule of a verdict that is contradicted."""


def redecide_run(run: Path, *, decide: Redecide = redecide, watch: Watch = lambda done, total: None) -> SolverAudit:
    """Decide the verdicts of a run again.

    Args:
        run: a run directory, with the rules beside the record.
        decide: gives the second opinion; Z3 does by default.
        watch: called after each batch.

    Raises:
        TraceError: no trace of this version there.
    """
    said = list(recorded_verdicts(Trace.read(run)))
    by_set: dict[str, list[RecordedVerdict]] = {}
    for one in said:
        by_set.setdefault(one.verdict.ruleset_sha256, []).append(one)
    num_confirmed = num_inconclusive = done = 0
    findings: list[Finding] = []
    for name, verdicts in sorted(by_set.items()):
        rules = _rules(run / RULES / f"{name}.json", name)
        readable = [] if rules is None else [(one, noted) for one in verdicts for noted in _noted(rules, one)]
        num_inconclusive += len(verdicts) - len(readable)
        done += len(verdicts) - len(readable)
        watch(done, len(said))
        for start in range(0, len(readable), BATCH):
            batch = readable[start : start + BATCH]
            assert rules is not None, "nothing is readable without rules"
            found = decide(rules, [noted for _, noted in batch])
            num_confirmed += found.num_confirmed
            num_inconclusive += len(found.inconclusive)
            findings += _findings(found, [one for one, _ in batch])
            done += len(batch)
            watch(done, len(said))
    return SolverAudit(
        num_confirmed=num_confirmed,
        num_mismatched=len(said) - num_confirmed - num_inconclusive,
        num_inconclusive=num_inconclusive,
        findings=tuple(findings),
    )


def _rules(path: Path, name: str) -> RuleSet[Any, Any] | None:
    """The rule set with that hash, its types rebuilt; None where it is not there, or is another."""
    try:
        text = path.read_text(encoding="utf-8")
        return load_rules(text) if sha256_hex(text.encode()) == name else None
    except (OSError, UnicodeDecodeError, RuleError):
        return None


def _noted(rules: RuleSet[Any, Any], one: RecordedVerdict) -> Iterator[Noted]:
    """What the solver is asked about a verdict; nothing where the record does not tell."""
    if one.facts is None or one.action is None:
        return
    broken = {violation.rule for violation in one.verdict.violations}
    anchors = [rule.anchor for rule in rules.rules]
    if not {*broken, *one.verdict.undecided} <= set(anchors):
        return  # undecided as a whole, or of rules that the set does not have
    claims = [YES if name in broken else None if name in one.verdict.undecided else NO for name in anchors]
    if one.verdict.outcome == "undecided":
        return
    try:
        facts = Facts.from_json(canonical(one.facts.facts).decode(), rules.state)
        yield facts, rules.action.model_validate(dict(one.action)), claims
    except (DomainError, ValueError):
        return


def _findings(found: Redecision, batch: Sequence[RecordedVerdict]) -> Iterator[Finding]:
    for one in found.mismatches:
        said = batch[one.index]
        detail = f"Z3: {one.rule or 'all'}: recorded {_shown(one.claimed)}, found {_shown(one.found)}; {one.reason}"
        yield Finding(problem="verdict-mismatch", owner=said.owner, index=said.index, detail=detail)


def _shown(found: Found) -> str:
    return "-" if found is None else "kept" if found is NO else "broken"
