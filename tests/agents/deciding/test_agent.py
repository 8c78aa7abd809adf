from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from agents.deciding import Agent, Ask, Ladder
from agents.deciding.agent import MAX_MESSAGES
from agents.messaging import Anchor, Claim, Envelope, decode, encode
from agents.recording import (
    GENESIS,
    Applied,
    Chain,
    DecisionRecord,
    Event,
    Fault,
    FaultKind,
    MessageReceived,
    MessageSent,
    Observation,
    Record,
    Rung,
    Text,
    parse_records,
    sha256_hex,
)
from localist_core import DialSchedule, OverloadError, Request
from symbolic import Facts
from tests.agents.builders import RUN, an_envelope
from tests.agents.deciding.junction import GO, GOAL, RULES, STOP, Asked, Car, Drive, answering, by_turns, seen

FREE = seen()
RED = seen(light="red")


def an_agent(name: str = "car-1", **changes: Any) -> Agent:
    arguments: dict[str, Any] = {
        "run": RUN,
        "role": "car",
        "rules": RULES,
        "safe_stop": Drive(manoeuvre="stop"),
        "schedule": DialSchedule(),
        "ladder": Ladder(),
        "chain": Chain(name),
        "valid_s": 1.0,
    }
    return Agent(name, **arguments | changes)


def act(agent: Agent, ask: Ask, *inbox: Envelope, tick: int = 0, facts: Facts | None = FREE) -> None:
    asyncio.run(agent.act(tick, tick * 0.5, facts, GOAL, inbox, ask))


def records(agent: Agent) -> list[Record]:
    """What an agent has recorded since the last call."""
    return list(parse_records(agent.chain.take_unwritten().splitlines(keepends=True), "chain"))


def events(agent: Agent) -> list[Event]:
    """The same without texts."""
    return [record.event for record in records(agent) if not isinstance(record.event, Text)]


def kinds(agent: Agent) -> list[str]:
    return [event.kind for event in events(agent)]


def a_note(src: str, tick: int = 0, text: str = "hello", **changes: Any) -> Envelope:
    return an_envelope(src, tick=tick, body=text, **changes)


# Acting


def test_agent_records_what_it_heard_perceived_decided_and_did() -> None:
    agent, heard = an_agent(), an_envelope("car-2")
    act(agent, Asked(by_turns(GO, STOP)), heard, facts=RED)
    agent.applied(0)
    found = records(agent)
    received, observation = found[0].event, found[1].event
    decided, applied = found[-2], found[-1].event
    assert received == MessageReceived(id="car-2.0.0", sha256=heard.sha256, src="car-2", type="claim")
    assert observation == Observation(facts=json.loads(RED.to_json()), facts_sha256=RED.sha256)
    assert isinstance(decided.event, DecisionRecord)
    assert (decided.event.observation_seq, decided.event.rung) == (1, Rung.INJECTED)
    assert (decided.event.action, decided.event.fields) == ("A1", {"manoeuvre": "stop"})
    assert decided.event.parents == ("car-2.0.0",)
    assert applied == Applied(action="A1", fields={"manoeuvre": "stop"}, decision_seq=decided.seq)


def test_every_text_of_a_prompt_is_recorded_once_and_before_the_decision() -> None:
    agent = an_agent()
    act(agent, Asked(by_turns(GO, STOP)), facts=RED)
    act(agent, Asked(by_turns(GO, STOP)), facts=RED, tick=1)
    seen_texts: dict[str, str] = {}
    for record in records(agent):
        if isinstance(record.event, Text):
            assert record.event.sha256 not in seen_texts
            seen_texts[record.event.sha256] = record.event.text
        if isinstance(record.event, DecisionRecord):
            blocks = [block for attempt in record.event.attempts for block in attempt.blocks]
            assert {block.text_sha256 for block in blocks} <= set(seen_texts)
    assert all(sha256_hex(text.encode()) == digest for digest, text in seen_texts.items())


def test_recorded_attempt_says_what_was_asked_and_answered() -> None:
    agent, ask = an_agent(), Asked(by_turns(GO, {STOP: 0.75, GO: 0.25}))
    act(agent, ask, facts=RED)
    decided = events(agent)[-1]
    assert isinstance(decided, DecisionRecord)
    first, second = decided.attempts
    assert [one.prompt_sha256 for one in decided.attempts] == [request.prompt.sha256 for request in ask.requests]
    assert (first.chosen, first.injections, first.dial.value) == ("A3", (), 0.2)
    assert [violation.name for violation in first.verdict.violations] == ["red"]
    assert (first.verdict.outcome, first.verdict.action) == ("unsafe", "A3")
    assert (second.chosen, second.injections, second.dial.value) == ("A1", ("I1",), 0.5)
    assert set(second.dial.targets) == {*first.dial.targets, "I1"}
    assert (second.probabilities, second.margin) == ((0.75, 0.0, 0.25), 0.5)
    assert second.verdict == decided.verdict
    assert decided.verdict.facts_sha256 == RED.sha256


def test_message_received_is_recorded_after_the_sender_sent_it() -> None:
    agent = an_agent()
    act(agent, Asked(by_turns(GO)), a_note("car-2", lamport=41))
    assert records(agent)[0].lamport == 42


def test_expired_message_is_recorded_and_not_read() -> None:
    agent, ask = an_agent(), Asked(by_turns(GO))
    old, fresh = a_note("car-2", tick=0, valid_until=0.4), a_note("car-3", tick=0, valid_until=0.5)
    act(agent, ask, old, fresh, tick=1)
    found = events(agent)
    assert [event.id for event in found if isinstance(event, MessageReceived)] == [old.id, fresh.id]
    assert ask.requests[0].prompt["M1"].text == "car-3 : hello"
    assert ask.requests[0].prompt.names("message") == ("M1",)
    assert isinstance(found[-1], DecisionRecord)
    assert found[-1].parents == (fresh.id,)


def test_newest_messages_are_read_whatever_the_order_of_the_inbox() -> None:
    agent, ask = an_agent(), Asked(by_turns(GO))
    inbox = [a_note(f"car-{number}", tick=9 - number, valid_until=9.0) for number in range(2, 10)]
    act(agent, ask, *inbox, tick=9)
    prompt = ask.requests[0].prompt
    shown = [prompt[name].text.split()[0] for name in prompt.names("message")]
    assert shown == ["car-7", "car-6", "car-5", "car-4", "car-3", "car-2"]
    assert len(shown) == MAX_MESSAGES
    assert kinds(agent).count("message-received") == 8


def test_claims_beyond_those_read_still_count_as_parents() -> None:
    agent = an_agent()
    act(agent, Asked(by_turns(GO)), *(an_envelope(f"car-{number}") for number in range(2, 10)))
    decided = events(agent)[-1]
    assert isinstance(decided, DecisionRecord)
    assert decided.parents == tuple(f"car-{number}.0.0" for number in range(2, 10))


def test_claim_is_shown_by_its_fields_in_order_and_a_note_by_its_text() -> None:
    agent, ask = an_agent(), Asked(by_turns(GO))
    claim = Claim(kind="intent", sender="car-2", fields={"speed": 1.5, "is_late": True, "aim": "go"}, tick=0)
    act(agent, ask, an_envelope("car-2", body=claim), a_note("car-3", text="R1 not A1 ;\nyes"))
    prompt = ask.requests[0].prompt
    assert prompt["M1"].text == "car-2 : intent aim go is_late yes speed 1.5"
    assert prompt["M2"].text == "car-3 : R1 not A1 ;\nyes"


@pytest.mark.parametrize(
    ("facts", "reason", "kinds_expected"),
    [
        (None, "observation missing", ["decision"]),
        (Facts.from_codes(Car, (float("nan"), 0, 0, 0, 0)), "observation unreadable", ["fault", "decision"]),  # type: ignore[arg-type]
        (FREE.aged(2.0), "observation stale", ["observation", "fault", "decision"]),
    ],
    ids=["missing", "unreadable", "stale"],
)
def test_agent_without_a_fit_observation_stops_safely_and_says_why(
    facts: Facts | None, reason: str, kinds_expected: list[str]
) -> None:
    agent, ask = an_agent(), Asked(by_turns(GO))
    act(agent, ask, facts=facts)
    found = events(agent)
    decided = found[-1]
    assert [event.kind for event in found] == kinds_expected
    assert isinstance(decided, DecisionRecord)
    assert (decided.rung, decided.action, decided.reason) == (Rung.SAFE_STOP, "A1", reason)
    assert (decided.observation_seq is None) == ("observation" not in kinds_expected)
    assert ask.requests == []


def test_failing_core_is_recorded_as_a_fault_beside_the_decision() -> None:
    def fail(request: Request) -> str:
        raise OverloadError("expected fewer requests, got many")

    agent = an_agent()
    act(agent, Asked(fail))
    found = events(agent)
    assert found[1] == Fault(fault=FaultKind.CORE_FAILED, detail="expected fewer requests, got many")
    assert isinstance(found[2], DecisionRecord)
    assert (found[2].rung, found[2].action, found[2].verdict.outcome) == (Rung.REPAIRED, "A1", "safe")


def test_answer_that_is_no_number_can_still_be_recorded() -> None:
    agent = an_agent()
    act(agent, answering(margin=float("nan")))
    assert kinds(agent) == ["observation", "fault", "decision"]


def test_agent_that_has_not_decided_cannot_apply() -> None:
    with pytest.raises(ValueError, match="expected a decision of `car-1` before it is applied, got none"):
        an_agent().applied(0)


# Announcing


def test_announcement_before_the_first_decision_rests_on_nothing() -> None:
    agent = an_agent()
    envelope = agent.announce(0, 0.0, "good morning")
    assert (envelope.parents, envelope.anchors, envelope.prev, envelope.lamport) == ((), (), GENESIS, 1)
    assert decode(encode(envelope)) == envelope


def test_announcement_rests_on_the_last_decision_and_its_messages() -> None:
    agent = an_agent()
    act(agent, Asked(by_turns(GO)), an_envelope("car-2"), a_note("car-3"), tick=1)
    decided = records(agent)[-1]
    claim = Claim(kind="intent", sender="car-1", fields={"manoeuvre": "go"}, tick=1)
    envelope = agent.announce(1, 0.5, claim)
    sent = records(agent)[0]
    assert envelope.parents == ("car-2.0.0", "car-3.0.0")
    assert envelope.anchors == (Anchor(owner="car-1", kind="decision", seq=decided.seq, sha256=decided.hash),)
    assert (envelope.prev, envelope.lamport) == (decided.hash, sent.lamport)
    assert (envelope.t_sim, envelope.valid_until) == (0.5, 1.5)
    assert envelope.claim() == claim
    assert sent.event == MessageSent(id=envelope.id, sha256=envelope.sha256, envelope=envelope.model_dump(mode="json"))


def test_announcements_are_numbered_and_chained() -> None:
    agent = an_agent()
    first, second = (agent.announce(0, 0.0, text) for text in ("one", "two"))
    assert [first.id, second.id] == ["car-1.0.0", "car-1.0.1"]
    assert second.prev == records(agent)[0].hash
    assert second.lamport > first.lamport


# Determinism


def test_agents_with_equal_inputs_write_equal_bytes() -> None:
    def live() -> bytes:
        agent = an_agent()
        for tick, facts in enumerate((FREE, RED, seen(gap_m=15.0, is_wet=True), None)):
            inbox = (an_envelope("car-2", tick=tick), a_note("car-3", tick=tick))
            act(agent, Asked(by_turns({GO: 0.6, STOP: 0.4}, STOP)), *inbox, tick=tick, facts=facts)
            agent.applied(tick)
            agent.announce(tick, tick * 0.5, Claim(kind="intent", sender="car-1", fields={"aim": "go"}, tick=tick))
        return agent.chain.take_unwritten()

    assert live() == live()
