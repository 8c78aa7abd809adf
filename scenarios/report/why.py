"""Why did this agent do that? One step of a trace for people: prompt, candidates, rules, injections, messages.

Read `why` first; everything below it prints one part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise

from pydantic import JsonValue
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agents.recording.events import (
    AttemptRecord,
    DecisionRecord,
    MassRecord,
    PeerCommitment,
    RoleCard,
    Scalar,
    VerdictRecord,
    ViolationRecord,
)
from agents.recording.trace import Step, Trace
from scenarios.report.bars import bar

EXCERPT = 58
"""Characters of a block's text that its line in the table shows."""


def why(trace: Trace, step: Step) -> RenderableType:
    """The whole answer for one step."""
    if step.decision is None:
        return Group(Text(f"{step.agent}, step {step.tick}: no decision was recorded"), *_faults(step))
    role = role_of(trace, step.agent)
    return Group(
        _headline(step, step.decision, role),
        _facts(step),
        _messages(trace, step),
        *_peers(trace, step),
        *_attempts(trace, step.decision, step, role),
        *_faults(step),
    )


def why_json(trace: Trace, step: Step) -> dict[str, JsonValue]:
    """The same as data: the recorded events, with the texts of the prompts and the envelopes beside them."""
    decision = step.decision
    hashes = {block.text_sha256 for attempt in decision.attempts for block in attempt.blocks} if decision else set()
    return {
        "format": "localist-why",
        "schema_version": 1,
        "agent": step.agent,
        "step": step.tick,
        "observation": step.observation.model_dump(mode="json") if step.observation else None,
        "decision": decision.model_dump(mode="json") if decision else None,
        "texts": {sha: trace.texts[sha] for sha in sorted(hashes) if sha in trace.texts},
        "bound": step.bound.model_dump(mode="json") if step.bound else None,
        "messages": [envelope for _, envelope in _envelopes(trace, step)],
        "outcome": step.outcome.model_dump(mode="json") if step.outcome else None,
        "faults": [fault.model_dump(mode="json") for fault in step.faults],
    }


def role_of(trace: Trace, agent: str) -> RoleCard:
    """The role card of an agent: `car-1` plays `car`.

    Raises:
        KeyError: the header knows no such role.
    """
    return trace.header.roles[agent.rpartition("-")[0] or agent]


def action_text(fields: Mapping[str, Scalar]) -> str:
    """An action's fields in one line: `manoeuvre=stop`."""
    return ", ".join(f"{name}={value}" for name, value in fields.items())


def _headline(step: Step, decision: DecisionRecord, role: RoleCard) -> Text:
    text = Text.assemble(
        (f"{step.agent}, step {step.tick}: ", "bold"),
        (f"{decision.action} {action_text(decision.fields)}", "bold green"),
        f"  ({decision.rung.value}, {decision.verdict.outcome}, {len(decision.attempts)} asked)",
    )
    if decision.reason:
        text.append(f"\nreason: {decision.reason}")
    if decision.concession is not None:
        text.append(f"\nconceded, so that rules are broken: {decision.concession.reason}", style="bold red")
    text.append(f"\ngoal: {role.goal}")
    return text


def _facts(step: Step) -> RenderableType:
    table = Table("perceived", "value", title="What it perceived", title_justify="left", box=None)
    for name, value in _fact_fields(step).items():
        table.add_row(name, _known(value))
    return table


def _fact_fields(step: Step) -> dict[str, JsonValue]:
    facts = step.observation.facts if step.observation else {}
    fields = facts.get("fields", facts)
    return fields if isinstance(fields, dict) else {}


def _known(value: JsonValue) -> str:
    """A fact as text: an interval as `3 to 5`, nothing known as `unknown`."""
    if value is None:
        return "unknown"
    if isinstance(value, list):
        return " to ".join(str(end) for end in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _envelopes(trace: Trace, step: Step) -> Iterator[tuple[str, dict[str, JsonValue]]]:
    """Id and envelope of every message that the decision rests on, from the senders' own chains."""
    wanted = set(step.decision.parents) if step.decision else set()
    for other in trace.steps():
        for sent in other.sent:
            if sent.id in wanted:
                yield sent.id, sent.envelope


def _messages(trace: Trace, step: Step) -> RenderableType:
    table = Table("from", "message", "type", "says", title="Messages behind it", title_justify="left", box=None)
    for name, envelope in _envelopes(trace, step):
        table.add_row(str(envelope["src"]), name, str(envelope["type"]), _body(envelope["body"]))
    return table if table.row_count else Text("Messages behind it: none", style="dim")


def _peers(trace: Trace, step: Step) -> Iterator[RenderableType]:
    """The peers that had committed, or are silent, and what they do; nothing where no joint rule binds."""
    if step.bound is None:
        return
    table = Table(
        "peer", "agent", "does", "decided in", title="Peers that it was held to", title_justify="left", box=None
    )
    decided = {(record.agent, record.seq): record.event for record in trace.records}
    for number, peer in enumerate(step.bound.peers, start=1):
        event = None if peer.decision_seq is None else decided.get((peer.agent, peer.decision_seq))
        does = action_text(event.fields) if isinstance(event, DecisionRecord) else _undecided(peer)
        place = "" if peer.decision_seq is None else f"record {peer.decision_seq}"
        table.add_row(f"peer_{number}", peer.agent, does, place)
    yield table


def _undecided(peer: PeerCommitment) -> str:
    return "unknown: it is silent" if peer.is_silent else "still to decide: only seen"


def _body(body: JsonValue) -> str:
    """What a claim claims, or a note's text."""
    fields = body.get("fields", body) if isinstance(body, dict) else body
    return ", ".join(f"{k} = {_known(v)}" for k, v in fields.items()) if isinstance(fields, dict) else str(fields)


def _attempts(trace: Trace, decision: DecisionRecord, step: Step, role: RoleCard) -> Iterator[RenderableType]:
    for number, attempt in enumerate(decision.attempts, start=1):
        yield Text(f"\nAttempt {number}: dial {attempt.dial.value:.2f} on {_names(attempt.dial.targets)}", style="bold")
        yield _blocks(trace, attempt)
        yield _candidates(attempt, role)
        yield _rules(trace, attempt.verdict, role, step)
    for before, after in pairwise(decision.attempts):
        yield _change(trace, before, after)
    if not decision.attempts or decision.attempts[-1].verdict.action != decision.action:
        yield Text(f"\nExecuted instead: {decision.action} {action_text(decision.fields)}", style="bold")
        yield _rules(trace, decision.verdict, role, step)


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names) if names else "nothing"


def _blocks(trace: Trace, attempt: AttemptRecord) -> RenderableType:
    """Every block of the prompt with its raw and steered mass."""
    table = Table("block", "raw mass", "steered mass", "knock-out", "text", title_justify="left", box=None)
    for block in attempt.blocks:
        raw, steered = _masses(attempt.masses, block.name)
        knocked = attempt.knock_out_nats.get(block.name)
        style = "yellow" if not block.trust else "cyan" if block.name in attempt.dial.targets else ""
        text = " ".join(trace.texts.get(block.text_sha256, "").split())
        table.add_row(
            Text(block.name + ("" if block.trust else " (untrusted)"), style=style),
            _mass(raw),
            _mass(steered),
            "" if knocked is None else f"{knocked:+.2f} nats",
            text if len(text) <= EXCERPT else text[: EXCERPT - 1] + "…",
        )
    return table


def _masses(masses: MassRecord | None, block: str) -> tuple[float | None, float | None]:
    if masses is None or block not in masses.blocks:
        return None, None
    index = masses.blocks.index(block)
    return masses.raw[index], masses.steered[index]


def _mass(mass: float | None) -> str:
    return "" if mass is None else f"{bar(min(1.0, mass))} {mass:.3f}"


def _candidates(attempt: AttemptRecord, role: RoleCard) -> RenderableType:
    table = Table("candidate", "", "probability", "the core cites", title_justify="left", box=None)
    cited = attempt.citations or (None,) * len(attempt.actions)
    for label, probability, rule in zip(attempt.actions, attempt.probabilities, cited, strict=True):
        style = "bold" if label == attempt.chosen else ""
        cite = "" if attempt.citations is None else rule or "no rule"
        fields = action_text(role.actions.get(label, {}))
        table.add_row(Text(label, style), Text(fields, style), f"{bar(probability)} {probability:.3f}", cite)
    return Group(table, Text(f"chosen {attempt.chosen}, margin {attempt.margin:.3f}"))


def _rules(trace: Trace, verdict: VerdictRecord, role: RoleCard, step: Step) -> RenderableType:
    """Each rule with its verdict on one action and the numbers that it was judged on."""
    table = Table(
        "rule",
        f"verdict on {verdict.action}",
        "sentence",
        "numbers",
        "broken by",
        "source",
        title_justify="left",
        box=None,
    )
    violated = {violation.rule: violation for violation in verdict.violations}
    shown = {**_fact_fields(step), **role.actions.get(verdict.action, {})}
    for card in trace.rules.get(verdict.ruleset_sha256, role.rules):
        if card.rule in violated:
            found = violated[card.rule]
            numbers = ", ".join(f"{name} = {value}" for name, value in found.numbers)
            table.add_row(
                card.rule, Text("violated", "bold red"), card.sentence, numbers, _broken_by(found), card.source
            )
        else:
            is_open = verdict.outcome == "undecided" and (not verdict.undecided or card.rule in verdict.undecided)
            state = Text("undecided", "yellow") if is_open else Text("holds", "green")
            table.add_row(card.rule, state, card.sentence, _numbers(card.sentence, shown), "", card.source)
    return table


def _broken_by(found: ViolationRecord) -> str:
    """The comparison that decides with its amount, and the state in which that is so where the facts are open."""
    margin = "" if found.margin is None else f"{found.margin.comparison} by {found.margin.amount}"
    if found.counterexample is None:
        return margin
    read = {name for name, _ in found.numbers}
    state = ", ".join(
        f"{name} = {_known(value)}" for name, value in found.counterexample.fields.items() if name in read
    )
    return f"{margin} where {state}" if margin else f"where {state}"


def _numbers(sentence: str, shown: Mapping[str, JsonValue]) -> str:
    """The values of the fields that a sentence speaks of."""
    words = set(re.findall(r"\w+", sentence))
    return ", ".join(f"{name} = {_known(value)}" for name, value in shown.items() if name in words)


def _change(trace: Trace, before: AttemptRecord, after: AttemptRecord) -> RenderableType:
    """What an injection changed: dial, choice, masses."""
    new = [block for block in after.blocks if block.name in set(after.injections) - set(before.injections)]
    table = Table("block", "mass before", "mass after", "change", title_justify="left", box=None)
    for block in after.blocks:
        (_, old), (_, now) = _masses(before.masses, block.name), _masses(after.masses, block.name)
        if now is not None:
            table.add_row(block.name, _mass(old), _mass(now), f"{now - (old or 0.0):+.3f}")
    lines = [
        Text(f"injected {block.name}: {trace.texts.get(block.text_sha256, '')}".strip(), "magenta") for block in new
    ]
    move = (
        f"dial {before.dial.value:.2f} → {after.dial.value:.2f}, choice {before.chosen} → {after.chosen}, "
        f"probability of {after.chosen} {_probability(before, after.chosen):.3f} → "
        f"{_probability(after, after.chosen):.3f}"
    )
    return Group(
        Text("\nWhat the injection changed", "bold"), *lines, Text(move), *([table] if table.row_count else [])
    )


def _probability(attempt: AttemptRecord, label: str) -> float:
    found = dict(zip(attempt.actions, attempt.probabilities, strict=True))
    return found.get(label, 0.0)


def _faults(step: Step) -> list[RenderableType]:
    return [Text(f"fault: {fault.fault.value}: {fault.detail}", "red") for fault in step.faults]
