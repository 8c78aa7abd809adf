"""What a decision is: its attempts, the rung of the ladder that gave the action, and why; and how it is recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from agents.recording.events import (
    AttemptRecord,
    BlockRef,
    ConcessionRecord,
    CounterexampleRecord,
    DecisionRecord,
    DialRecord,
    Fault,
    LayerRecord,
    MarginRecord,
    MassRecord,
    RuleCard,
    Rung,
    Scalar,
    VerdictRecord,
    ViolationRecord,
)
from localist_core import BlockKind, BlockTrace, Choice, Request
from symbolic import Action, Concession, Counterexample, Facts, Margin, RuleSet, Verdict, shortest

NO_FACTS = "0" * 64
"""Stands in a record for the hash of facts that there were none of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One question to the core, its answer and the verdict on it."""

    request: Request
    choice: Choice
    verdict: Verdict
    knock_out_nats: Mapping[str, float] = field(default_factory=dict)
    """Injected block -> change of the chosen action's log-probability at dial 0 with that block cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The action that an agent executes, and how it came about."""

    rules: RuleSet[Any, Any]
    """The rules that it was held to: those of the role, and joint ones with the peers that bound it."""
    facts: Facts | None
    """What it was decided on."""
    action: int
    """Index of the executed action."""
    rung: Rung
    verdict: Verdict
    """The verdict on the executed action."""
    attempts: tuple[Attempt, ...]
    reason: str = ""
    """Why the ladder went beyond asking, in a few fixed words; empty if it did not."""
    faults: tuple[Fault, ...] = ()
    """What failed on the way, with its own words."""
    parents: tuple[str, ...] = ()
    """Ids of the messages that the decision rests on, sorted."""
    concession: Concession | None = None
    """What was given up, on the rung `conceded`."""


def record_of(
    decision: Decision,
    *,
    actions: tuple[Action, ...],
    observation_seq: int | None,
    text: Callable[[str], str],
) -> DecisionRecord:
    """The decision as an event of a trace.

    Args:
        decision: what was decided.
        actions: all actions of the rule set.
        observation_seq: index of the observation in the agent's chain.
        text: records a text and gives its hash.
    """
    return DecisionRecord(
        observation_seq=observation_seq,
        attempts=tuple(_attempt(attempt, actions, text) for attempt in decision.attempts),
        rung=decision.rung,
        action=label(decision.action),
        fields=actions[decision.action].model_dump(),
        verdict=verdict_record(decision.verdict, label(decision.action)),
        parents=decision.parents,
        reason=decision.reason,
        concession=None if decision.concession is None else _concession(decision, decision.concession),
    )


def _concession(decision: Decision, found: Concession) -> ConcessionRecord:
    return ConcessionRecord(given_up=tuple(one.rule for one in decision.verdict.violations), reason=found.reason)


def rule_cards(rules: RuleSet[Any, Any]) -> tuple[RuleCard, ...]:
    """The rules of a set, most important first."""
    return tuple(
        RuleCard(
            rule=rule.anchor,
            name=rule.name,
            kind=rule.kind,
            title=rule.title,
            source=rule.source,
            priority=rule.priority,
            sentence=rule.sentence,
        )
        for rule in rules.rules
    )


def label(index: int) -> str:
    """Label of the action with this index: `A1` is the first."""
    return f"A{index + 1}"


def verdict_record(verdict: Verdict, action: str) -> VerdictRecord:
    """A verdict as a trace holds it."""
    violations = tuple(
        ViolationRecord(
            rule=one.rule,
            name=one.name,
            title=one.title,
            source=one.source,
            priority=one.priority,
            sentence=one.sentence,
            numbers=one.numbers,
            margin=None if one.margin is None else _margin(one.margin),
            counterexample=None if one.counterexample is None else _counterexample(one.counterexample),
        )
        for one in verdict.violations
    )
    return VerdictRecord(
        outcome=verdict.outcome.value,
        action=action,
        violations=violations,
        undecided=verdict.undecided or ((verdict.reason,) if verdict.reason else ()),
        facts_sha256=verdict.facts_sha256 or NO_FACTS,
        ruleset_sha256=verdict.ruleset_sha256,
    )


def _margin(found: Margin) -> MarginRecord:
    return MarginRecord(comparison=found.comparison, amount=shortest(found.amount))


def _counterexample(found: Counterexample) -> CounterexampleRecord:
    fields = cast(dict[str, Scalar], dict(found.facts.items()))  # exact: each is one value
    return CounterexampleRecord(fields=fields, is_first=found.is_first)


def _attempt(attempt: Attempt, actions: tuple[Action, ...], text: Callable[[str], str]) -> AttemptRecord:
    request, choice = attempt.request, attempt.choice
    blocks = tuple(
        BlockRef(name=block.name, kind=block.kind.value, trust=int(block.trust), text_sha256=text(block.text))
        for block in request.prompt.blocks
    )
    judged = attempt.verdict.action
    return AttemptRecord(
        prompt_sha256=request.prompt.sha256,
        blocks=blocks,
        injections=request.prompt.names(BlockKind.INJECTION),
        dial=DialRecord(
            value=request.dial.value, gamma=request.dial.gamma, targets=tuple(sorted(request.dial.targets))
        ),
        actions=choice.actions,
        probabilities=choice.probabilities,
        chosen=choice.chosen,
        margin=choice.margin,
        citations=choice.citations,
        masses=None if choice.trace is None else _masses(choice.trace),
        knock_out_nats=dict(attempt.knock_out_nats),
        verdict=verdict_record(attempt.verdict, choice.chosen if judged is None else label(actions.index(judged))),
    )


def _masses(trace: BlockTrace) -> MassRecord:
    return MassRecord(
        blocks=trace.blocks,
        raw=trace.raw,
        steered=trace.steered,
        raw_fidelity=trace.raw_fidelity,
        steered_fidelity=trace.steered_fidelity,
        target_mass=trace.target_mass,
        entropy_bits=trace.entropy_bits,
        is_raw_from_dial_zero=trace.is_raw_from_dial_zero,
        layers=tuple(LayerRecord(raw_fidelity=raw, steered_fidelity=steered) for raw, steered in trace.layers),
    )
