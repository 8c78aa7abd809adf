"""One episode, tick by tick: hear, perceive, decide, record, move, announce. Read `play`, then `_tick`."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from dataclasses import asdict

from agents.deciding.decide import unreadable
from agents.deciding.decision import Decision
from agents.messaging import (
    BusDownError,
    BusTimeoutError,
    Claim,
    ClaimError,
    Delivery,
    Envelope,
    checked,
)
from agents.recording.events import (
    OPERATOR_OWNER,
    RUN_OWNER,
    TOGETHER,
    WORLD_OWNER,
    Fault,
    FaultKind,
    Outcome,
    Rung,
)
from scenarios.config import Part
from scenarios.desk import Desk
from scenarios.joint import broken_together, opened
from scenarios.metrics import measure
from scenarios.reloading import Reloads
from scenarios.remembered import Memories
from scenarios.stage import Pulse, Stage, Watch
from scenarios.world import Truths, WorldError
from symbolic import DomainError, Facts, MonitorError
from symbolic.solving.redecision import Mismatch

VALID_TICKS = 2
"""What is announced in one tick is for the next one; older messages are not acted on."""


async def play(stage: Stage, episode: int, watch: Watch) -> None:
    """One episode from reset to the end of the last agent; its measures are recorded even if it is cut short."""
    stage.world.reset(seed=stage.config.seed + episode)
    history = [stage.world.truth()]
    # Messages of one episode mean nothing in the next, but rules do.
    stage.inboxes = {n: tuple(one for one in inbox if one.type == "rules") for n, inbox in stage.inboxes.items()}
    stage.memories = Memories(step_s=stage.world.step_s, start_s=stage.t_sim)
    try:
        while stage.world.agents:
            await _tick(stage, history)
            stage.tick += 1
            decisions = sum(stage.rungs.values())
            watch(
                Pulse(
                    episode=episode,
                    tick=stage.tick,
                    agents=len(stage.world.agents),
                    decisions=decisions,
                    corrected=decisions - stage.rungs[Rung.PROPOSED],
                )
            )
    finally:
        _record_episode(stage, episode, history)


async def _tick(stage: Stage, history: list[Truths]) -> None:
    """Everybody hears, perceives, decides and announces; what was decided is on disk before the world moves."""
    if stage.reloads is not None:
        with stage.timed("reload"):
            await _reload(stage, stage.reloads)
    seen = {name: _perceive(stage, name) for name in sorted(stage.world.agents)}
    with stage.timed("deciding"):
        decisions = await _decide_all(stage, seen)
    for decision in decisions.values():
        _note_verdicts(stage, decision)
    envelopes = _announce(stage, list(seen)) if stage.config.has(Part.MESSAGES) else []
    if stage.reloads is not None:
        chain = stage.log.chain(OPERATOR_OWNER)
        envelopes += stage.reloads.announce(stage.tick, stage.t_sim, VALID_TICKS * stage.world.step_s, chain)
    with stage.timed("log"):
        stage.log.flush()  # INVARIANT: an unrecorded decision never acts
    _move(stage, decisions, history)
    if stage.config.has(Part.MESSAGES):
        with stage.timed("bus"):
            await _exchange(stage, envelopes)
    distrust(stage, await stage.rechecks.settle())
    with stage.timed("log"):
        stage.log.flush()


async def _reload(stage: Stage, reloads: Reloads) -> None:
    """At the boundary of a tick: hear what is proposed, and swap what is due, for every agent of a role at once."""
    heard = {one.id: one for inbox in stage.inboxes.values() for one in inbox if one.type == "rules"}
    for refused in reloads.hear(stage.tick, [heard[name] for name in sorted(heard)]):
        stage.fault(FaultKind.RULES_REFUSED, refused)
    async for change in reloads.due(stage.tick):
        if isinstance(change, str):
            stage.fault(FaultKind.RULES_REFUSED, change)
            continue
        stage.log.write_rules({change.after.sha256: change.after.to_json()})
        stage.written.add(change.after.sha256)
        stage.scenario = change.scenario
        for agent in stage.agents.values():
            if agent.role == change.role:
                agent.adopt(change.after)
        stage.log.chain(RUN_OWNER).append(stage.tick, change.event)


def _perceive(stage: Stage, name: str) -> Facts | None:
    """What an agent perceives in this tick, the claims that reached it included; None if there is no observation."""
    claims = _heard(stage, name)
    if stage.is_distrusted:
        return None  # facts whose verdicts were contradicted are none: the ladder goes straight to the safe stop
    with stage.timed("world"):
        try:
            stage.world.receive(name, claims)
            role = stage.scenario.role_of(name)
            return stage.memories.of_perceived(name, role, stage.world.symbols(name), stage.t_sim)
        except (DomainError, WorldError, MonitorError) as error:
            fault = Fault(fault=FaultKind.OBSERVATION_MISSING, detail=" ".join(str(error).split()))
            stage.agents[name].chain.append(stage.tick, fault)
            return None


def _heard(stage: Stage, name: str) -> dict[str, Claim]:
    """The valid claims of an inbox by sender, a sender's claims of one tick put together; others are recorded."""
    heard: dict[str, Claim] = {}
    for envelope in stage.inboxes.get(name, ()):
        if envelope.type != "claim" or not envelope.is_valid_at(stage.t_sim):
            continue
        try:
            claim = checked(envelope.claim(), stage.world.claim_fields)
        except ClaimError as error:
            stage.agents[name].chain.append(stage.tick, Fault(fault=FaultKind.CLAIM_REFUSED, detail=str(error)))
            continue
        before = heard.get(envelope.src)
        fields = claim.fields if before is None else before.fields | claim.fields
        heard[envelope.src] = claim.model_copy(update={"fields": fields})
    return heard


async def _decide_all(stage: Stage, seen: dict[str, Facts | None]) -> dict[str, Decision]:
    """All decisions of a tick, the questions of all agents in common batches."""
    desk = Desk(stage.core, seen)
    knock_out = desk.knock_out if stage.core.capabilities.traces else None
    commits = opened(stage.scenario, stage.config, seen, desk)

    async def act(name: str, facts: Facts | None) -> Decision:
        goal = stage.world.describe(name).goal
        inbox = stage.inboxes.get(name, ())
        try:
            return await stage.agents[name].act(
                stage.tick, stage.t_sim, facts, goal, inbox, desk.ask, knock_out, commits
            )
        finally:
            desk.leave(name)
            if commits is not None:
                commits.close(name)

    found = await asyncio.gather(*(act(name, facts) for name, facts in seen.items()))
    stage.spent_s["core"] += desk.busy_s
    stage.rungs.update(decision.rung for decision in found)
    new = {one.rules.sha256: one.rules for one in found if one.rules.sha256 not in stage.written}
    stage.log.write_rules({sha256: rules.to_json() for sha256, rules in new.items()})
    stage.written.update(new)
    return dict(zip(seen, found, strict=True))


def _note_verdicts(stage: Stage, decision: Decision) -> None:
    """Every verdict that this decision rests on will be decided again."""
    facts = decision.facts
    if facts is None or unreadable(facts, decision.rules):
        return  # nothing was decided on such facts
    verdicts = [attempt.verdict for attempt in decision.attempts]
    if not verdicts or verdicts[-1] is not decision.verdict:
        verdicts.append(decision.verdict)
    for verdict in verdicts:
        stage.rechecks.note(decision.rules, facts, verdict)


def _announce(stage: Stage, names: list[str]) -> list[Envelope]:
    """What the agents say about the present, one claim of each kind, recorded before it is sent."""
    kinds = {key: declared.kind for key, declared in stage.world.claim_fields.items()}
    envelopes = []
    for name in names:
        said = stage.world.claims(name)
        for kind in sorted({kinds[key] for key in said}):
            fields = {key: value for key, value in sorted(said.items()) if kinds[key] == kind}
            claim = Claim(kind=kind, sender=name, fields=fields, tick=stage.tick)
            envelopes.append(stage.agents[name].announce(stage.tick, stage.t_sim, claim))
    return envelopes


def _move(stage: Stage, decisions: dict[str, Decision], history: list[Truths]) -> None:
    """Let the world move, and record what it was given and what came of it."""
    with stage.timed("world"):
        _, rewards, terminations, truncations, _ = stage.world.step({n: d.action for n, d in decisions.items()})
        before, after = history[-1], stage.world.truth()
    history.append(after)
    chain = stage.log.chain(WORLD_OWNER)
    before = stage.memories.of_truths(before, {name: stage.scenario.role_of(name) for name in decisions}, stage.t_sim)
    together = broken_together(stage.scenario, before, decisions)
    for name, decision in decisions.items():
        stage.agents[name].applied(stage.tick)
        rules, facts, truth = stage.scenario.role_of(name).rules, before.agents[name].facts, after.agents[name]
        violated = rules.check(facts, rules.actions[decision.action]).violations if facts is not None else ()
        outcome = Outcome(
            agent=name,
            violated=(*(violation.name for violation in violated), *(together or {}).get(name, ())),
            measures={
                "has_arrived": truth.has_arrived,
                "has_crashed": truth.has_crashed,
                "speed_mps": float(truth.speed_mps),
                **({} if together is None else {TOGETHER: len(together[name])}),
            },
            reward=float(rewards[name]),
            is_terminated=bool(terminations[name]),
            is_truncated=bool(truncations[name]),
        )
        chain.append(stage.tick, outcome)


def _record_episode(stage: Stage, episode: int, history: list[Truths]) -> None:
    """The assessor's measures of one episode, as an outcome of the world itself."""
    found = {key: value for key, value in asdict(measure(history)).items() if math.isfinite(value)}
    outcome = Outcome(agent=WORLD_OWNER, measures={"episode": episode, **found}, is_terminated=True)
    stage.log.chain(WORLD_OWNER).append(max(0, stage.tick - 1), outcome)


async def _exchange(stage: Stage, envelopes: list[Envelope]) -> None:
    """Send what was announced and close the tick; what the bus fails at is recorded, and nobody waits for it."""
    if stage.is_bus_down:
        return
    expected: Counter[str] = Counter()
    delivery: Delivery | None
    try:
        for envelope in envelopes:
            await stage.bus.publish(envelope)
            expected[envelope.src] += 1
        delivery = await stage.bus.drain(stage.tick, expected)
    except BusTimeoutError as error:
        stage.fault(FaultKind.BUS_TIMEOUT, "not every message of the tick arrived in time")
        delivery = error.delivery or await stage.bus.drain(stage.tick, {})
    except BusDownError as error:
        stage.fault(FaultKind.BUS_DOWN, "the link to the broker is gone; the run goes on without messages")
        stage.is_bus_down = True
        delivery = error.delivery
    for refused in delivery.refused if delivery else ():
        stage.fault(FaultKind.MESSAGE_REFUSED, f"{refused.reason.value} from {refused.src}", refused.count)
    stage.inboxes = dict(delivery.inboxes) if delivery else {}


def distrust(stage: Stage, mismatches: list[Mismatch]) -> None:
    """Record verdicts that Z3 contradicted; after the first, nothing but safe stops is executed."""
    for mismatch in mismatches:
        said = f"{mismatch.rule}: recorded {mismatch.claimed}, found {mismatch.found}"
        stage.fault(FaultKind.CHECK_MISMATCH, f"{said}; {mismatch.reason}")
        stage.is_distrusted = True
