"""Rechecks what decisions say of their rung, and of what was executed: judged, safe where it must be, the least bad."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from agents.recording.audit import Finding
from agents.recording.events import Applied, DecisionRecord, Observation, RoleCard, Rung, Scalar
from agents.recording.trace import Trace
from symbolic.certifying.checker import OpenError, RefusedError, Rules

SAFE = (Rung.CHOSEN, Rung.REPAIRED, Rung.WITNESS)
"""Rungs that execute only what is safe; proposals may be unbound, and nothing is below the safe stop."""


def audit_rungs(trace: Trace, rules: Mapping[str, Rules]) -> Iterator[Finding]:
    """Decisions whose rung does not fit what was executed; `rules` are those at hand, by hash."""
    observations = {
        (record.agent, record.seq): record.event for record in trace.records if isinstance(record.event, Observation)
    }
    for record in trace.records:
        if isinstance(record.event, DecisionRecord):
            decision = record.event
            seen = decision.observation_seq
            facts = None if seen is None else observations.get((record.agent, seen))
            known = rules.get(decision.verdict.ruleset_sha256)
            role = trace.header.roles.get(record.agent.rpartition("-")[0] or record.agent)
            wrong = _misfit(decision) or _other(decision, role)
            if not wrong and facts is not None and known is not None and role is not None:
                wrong = _given_up_for_less(decision, facts, known, role.actions.values())
            if wrong:
                yield Finding(problem="rung-mismatch", owner=record.agent, index=record.seq, detail=wrong)
    yield from _applied(trace)


def _other(decision: DecisionRecord, role: RoleCard | None) -> str:
    """Why what is executed is not what was judged, or not what its rung says; empty if it is."""
    if decision.action != decision.verdict.action:
        return f"expected a verdict on the executed action {decision.action}, got one on {decision.verdict.action}"
    if role is None:
        return "expected an agent with a role of the header, got another"
    if role.actions.get(decision.action) != decision.fields:
        return f"expected the fields of the action {decision.action}, got others"
    if decision.rung is Rung.SAFE_STOP and decision.action != role.safe_stop:
        return f"expected the declared safe stop {role.safe_stop}, got {decision.action}"
    return ""


def _applied(trace: Trace) -> Iterator[Finding]:
    """Actions given to the world that are not those of the decision behind them."""
    decided = {
        (record.agent, record.seq): (record.event.action, record.event.fields)
        for record in trace.records
        if isinstance(record.event, DecisionRecord)
    }
    for record in trace.records:
        event = record.event
        if not isinstance(event, Applied) or event.decision_seq is None:
            continue
        if decided.get((record.agent, event.decision_seq)) != (event.action, event.fields):
            detail = f"expected the action decided in record {event.decision_seq}, got {event.action}"
            yield Finding(problem="rung-mismatch", owner=record.agent, index=record.seq, detail=detail)


def _misfit(decision: DecisionRecord) -> str:
    """What of a decision contradicts its own rung; empty if nothing does."""
    outcome, found = decision.verdict.outcome, decision.concession
    if decision.rung in SAFE and outcome != "safe":
        return f"expected a safe action on the rung `{decision.rung.value}`, got one that is {outcome}"
    if (decision.rung is Rung.CONCEDED) is not (found is not None):
        how = "without" if found is None else "with"
        return f"expected a concession on the rung `conceded` alone, got `{decision.rung.value}` {how} one"
    if found is not None and found.given_up != tuple(one.rule for one in decision.verdict.violations):
        return f"expected what was given up to be what is violated, got {' '.join(found.given_up) or 'nothing'}"
    return ""


def _given_up_for_less(
    decision: DecisionRecord, facts: Observation, rules: Rules, actions: Iterable[Mapping[str, Scalar]]
) -> str:
    """Why less would have had to be given up than was, or nothing critical; empty if so, or if nobody can tell."""
    if decision.concession is None:
        return ""
    names = {f"R{number}": name for number, name in enumerate(rules.order, start=1)}
    if not names.keys() >= set(decision.concession.given_up):
        return "expected rules of the set to be given up, got others"
    given_up = {names[anchor] for anchor in decision.concession.given_up}
    if _critical(rules, given_up):
        return "expected no critical rule to be given up, got one"
    fields = facts.facts.get("fields")
    try:
        state = rules.box_of("state", fields if isinstance(fields, dict) else {})
        for action in actions:
            rules.boxes = 0
            box = state | rules.box_of("action", action)
            broken = {name for name in rules.order if rules.ever(name, box)}
            if not _critical(rules, broken) and _cost(rules, broken) < _cost(rules, given_up):
                return f"expected the least bad action, got one though another breaks only {sorted(broken)}"
    except (OpenError, RefusedError):
        return ""
    return ""


def _critical(rules: Rules, names: set[str]) -> bool:
    return any(rules.rules[name].get("is_critical", False) for name in names)


def _cost(rules: Rules, names: set[str]) -> tuple[int, ...]:
    """Number of rules of each priority, from 100 down to 0."""
    counts = Counter(rules.rules[name]["priority"] for name in names)
    return tuple(counts[priority] for priority in range(100, -1, -1))
