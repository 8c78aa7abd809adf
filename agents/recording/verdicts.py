"""Rechecks every verdict of a recorded run by the independent checker: from the record and the rules beside it alone.

`RUN/rules/<sha256>.json` holds each rule set as canonical JSON, under the hash that header and verdicts name it by.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from agents.recording.audit import Finding
from agents.recording.canonical import canonical, sha256_hex
from agents.recording.errors import TraceError
from agents.recording.events import (
    BoundRules,
    DecisionRecord,
    Observation,
    RoleCard,
    RulesChanged,
    Scalar,
    VerdictRecord,
)
from agents.recording.log import RULES
from agents.recording.rungs import audit_rungs
from agents.recording.trace import Trace
from symbolic.certifying.checker import OpenError, RefusedError, Rules, check


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictAudit:
    """What became of the verdicts of a run."""

    num_confirmed: int
    num_open: int
    """Neither confirmed nor refuted: undecided then, without recorded facts or rules, or too open for the checker."""
    findings: tuple[Finding, ...]
    """Verdicts that are wrong, rungs that do not fit them, and rules that are not what their hash says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedVerdict:
    """A verdict with what it was given on."""

    owner: str
    """Whose chain it stands in."""
    index: int
    """Index of the decision in that chain."""
    verdict: VerdictRecord
    facts: Observation | None
    """None where the record has no facts with the verdict's hash."""
    action: dict[str, Scalar] | None
    """Fields of the action; None where no role of the run has it."""


def audit_verdicts(run: Path) -> VerdictAudit:
    """Recheck the verdict of every attempt and every executed action.

    Raises:
        TraceError: no trace of this version there.
    """
    trace = Trace.read(run)
    joint = {card.sha256 for card in trace.header.joint}
    rules, findings = _rules(run, _actions(trace).keys(), joint)
    num_confirmed = num_open = 0
    for one in recorded_verdicts(trace):
        known = rules.get(one.verdict.ruleset_sha256)
        if known is None or one.action is None or one.facts is None:
            num_open += 1
            continue
        try:
            check(_certificate(one.verdict, one.facts, one.action), known)
            num_confirmed += 1
        except OpenError:
            num_open += 1
        except RefusedError as error:
            findings.append(Finding(problem="verdict-mismatch", owner=one.owner, index=one.index, detail=str(error)))
    findings += audit_rungs(trace, rules)
    return VerdictAudit(num_confirmed=num_confirmed, num_open=num_open, findings=tuple(findings))


def _actions(trace: Trace) -> dict[str, dict[str, dict[str, Scalar]]]:
    """Rule set -> label -> fields of the action."""
    actions = {role.ruleset_sha256: role.actions for role in trace.header.roles.values()}
    for record in trace.records:
        if isinstance(record.event, RulesChanged) and record.event.role in trace.header.roles:
            actions[record.event.ruleset_sha256] = trace.header.roles[record.event.role].actions
    bound = ((_role(trace, agent), one.ruleset_sha256) for agent, one in _bound(trace))
    return actions | {name: role.actions for role, name in bound if role is not None}


def _bound(trace: Trace) -> Iterator[tuple[str, BoundRules]]:
    """The rule sets that decisions are held to beside peers, with the agent that decides."""
    for record in trace.records:
        if isinstance(record.event, BoundRules):
            yield record.agent, record.event


def _role(trace: Trace, agent: str) -> RoleCard | None:
    return trace.header.roles.get(agent.rpartition("-")[0] or agent)


def _rules(run: Path, names: Iterable[str], joint: Collection[str]) -> tuple[dict[str, Rules], list[Finding]]:
    """The rule sets beside the record that are what their names say; joint ones are only held against their hash."""
    found: dict[str, Rules] = {}
    findings: list[Finding] = []
    for name in sorted({*names, *joint}):
        path = run / RULES / f"{name}.json"
        try:
            text = path.read_text(encoding="utf-8") if path.is_file() else None
            if text is not None and sha256_hex(text.encode()) != name:
                raise RefusedError("the rules are not what their hash says")
            if text is not None and name not in joint:
                found[name] = Rules(text)
        except (RefusedError, UnicodeDecodeError) as error:
            findings.append(Finding(problem="rules-mismatch", owner="run", index=0, detail=f"{error}"))
        except OSError as error:
            raise TraceError(f"expected to read `{path}`, got {(error.strerror or '').lower()}") from error
    return found, findings


def recorded_verdicts(trace: Trace) -> Iterator[RecordedVerdict]:
    """Every verdict of a trace; that of an executed proposal once."""
    actions = _actions(trace)
    observations = {
        (record.agent, record.seq): record.event for record in trace.records if isinstance(record.event, Observation)
    }
    for record in trace.records:
        if not isinstance(record.event, DecisionRecord):
            continue
        seen = record.event.observation_seq
        facts = None if seen is None else observations.get((record.agent, seen))
        said = [attempt.verdict for attempt in record.event.attempts]
        if record.event.verdict not in said[-1:]:
            said.append(record.event.verdict)
        for verdict in said:
            is_on_them = facts is not None and facts.facts_sha256 == verdict.facts_sha256
            yield RecordedVerdict(
                owner=record.agent,
                index=record.seq,
                verdict=verdict,
                facts=facts if is_on_them else None,
                action=actions.get(verdict.ruleset_sha256, {}).get(verdict.action),
            )


def _certificate(verdict: VerdictRecord, facts: Observation, action: dict[str, Scalar]) -> str:
    """What the record says of one verdict, as a certificate (symbolic, certificate.py)."""
    undecided = [anchor for anchor in verdict.undecided if anchor.startswith("R") and anchor[1:].isdecimal()]
    if len(undecided) < len(verdict.undecided):
        raise OpenError("a verdict that no rule was decided for")
    plain: dict[str, JsonValue] = {
        "action": dict(action),
        "facts": facts.facts,
        "kind": "verdict",
        "outcome": verdict.outcome,
        "prev": "",
        "rules": verdict.ruleset_sha256,
        "undecided": list(undecided),
        "version": 1,
        "violated": [violation.rule for violation in verdict.violations],
    }
    return canonical(plain).decode()
