"""Small valid envelopes, events and recorded runs to build tests from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from agents.messaging import Claim, Envelope, compose, encode
from agents.recording import (
    Applied,
    AttemptRecord,
    BlockRef,
    Chain,
    CoreCard,
    DecisionRecord,
    DialRecord,
    Header,
    MassRecord,
    MessageReceived,
    MessageSent,
    Observation,
    Outcome,
    Rung,
    RunLog,
    VerdictRecord,
    canonical_sha256,
    run_id,
    sha256_hex,
)
from agents.recording.audit import prompt_sha256

CORE = CoreCard(name="scripted", device="cpu", dtype="float32", fingerprint="policy-1")
RUN = run_id(seed=7, scenario="junction", config={}, core=CORE)
RULESET = canonical_sha256("rules")

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def an_envelope(src: str = "car-1", seq: int = 0, tick: int = 0, **changes: Any) -> Envelope:
    """A claim of intent; any argument of `compose` may be changed."""
    claim = Claim(kind="intent", sender=src, fields={"speed": 1.5, "manoeuvre": "go"}, tick=tick)
    arguments: dict[str, Any] = {
        "run": RUN,
        "src": src,
        "seq": seq,
        "tick": tick,
        "t_sim": tick * 0.5,
        "valid_until": tick * 0.5 + 1.0,
        "lamport": tick + 1,
        "prev": "0" * 64,
        "body": claim,
    }
    return compose(**arguments | changes)


def a_header(**changes: Any) -> Header:
    arguments: dict[str, Any] = {
        "run": RUN,
        "seed": 7,
        "scenario": "junction",
        "config": {"bus": "local"},
        "versions": {"localist-agents": "0.1.0"},
        "core": CORE,
        "agents": ("car-1", "car-2"),
        "roles": {},
    }
    return Header(**arguments | changes)


def a_verdict(action: str = "A1", facts: dict[str, Any] | None = None) -> VerdictRecord:
    return VerdictRecord(
        outcome="safe", action=action, facts_sha256=canonical_sha256(facts or {}), ruleset_sha256=RULESET
    )


def an_attempt(chain: Chain, tick: int, observation: str = "F1 is 3") -> AttemptRecord:
    """An attempt whose texts are recorded in the chain first."""
    texts = {"schema": "act on the rules", "observation": observation, "decision": "act"}
    blocks = tuple(
        BlockRef(name=name, kind=name, trust=1, text_sha256=chain.text(tick, text)) for name, text in texts.items()
    )
    attempt = AttemptRecord(
        prompt_sha256="0" * 64,
        blocks=blocks,
        dial=DialRecord(value=0.2, targets=("observation",)),
        actions=("A1", "A2"),
        probabilities=(0.75, 0.25),
        chosen="A1",
        margin=0.5,
        citations=(None, "R1"),
        masses=MassRecord(
            blocks=("schema", "observation", "decision"),
            raw=(0.5, 0.3, 0.2),
            steered=(0.4, 0.4, 0.2),
            raw_fidelity=None,
            steered_fidelity=1 / 3,
            target_mass=0.4,
            entropy_bits=1.5219281,
            is_raw_from_dial_zero=True,
        ),
        verdict=a_verdict(),
    )
    by_hash = {sha256_hex(text.encode()): text for text in texts.values()}
    return attempt.model_copy(update={"prompt_sha256": prompt_sha256(attempt, by_hash)})


def record_run(
    path: Path, *, ticks: int = 3, agents: tuple[str, ...] = ("car-1", "car-2"), gap_m: float = 12.5
) -> Path:
    """A small complete run in which every agent observes, hears the others' last messages, decides, sends and acts."""
    waiting: list[Envelope] = []
    with RunLog.open(path, a_header(agents=agents)) as log:
        for tick in range(ticks):
            sent = [_step(log.chain(agent), tick, waiting, gap_m + tick) for agent in agents]
            waiting = sent
            for agent in agents:
                log.chain("world").append(tick, Outcome(agent=agent, measures={"gap_m": gap_m + tick}, reward=1 / 3))
            log.flush()
    return path


def _step(chain: Chain, tick: int, waiting: list[Envelope], gap_m: float) -> Envelope:
    agent = chain.owner
    facts = {"gap_m": gap_m}
    seen = chain.append(tick, Observation(facts=facts, facts_sha256=canonical_sha256(facts)))
    heard = [envelope for envelope in waiting if envelope.src != agent]
    for envelope in heard:
        chain.observe(envelope.lamport)
        chain.append(
            tick, MessageReceived(id=envelope.id, sha256=envelope.sha256, src=envelope.src, type=envelope.type)
        )
    attempt = an_attempt(chain, tick, f"F1 is {gap_m}")
    decided = chain.append(
        tick,
        DecisionRecord(
            observation_seq=seen.seq,
            attempts=(attempt,),
            rung=Rung.PROPOSED,
            action="A1",
            fields={"manoeuvre": "stop"},
            verdict=a_verdict(facts=facts),
            parents=tuple(envelope.id for envelope in heard),
        ),
    )
    envelope = an_envelope(agent, seq=tick, tick=tick, lamport=chain.lamport + 1, prev=chain.head)
    chain.append(
        tick,
        MessageSent(id=envelope.id, sha256=sha256_hex(encode(envelope)), envelope=envelope.model_dump(mode="json")),
    )
    chain.append(tick, Applied(action="A1", fields={"manoeuvre": "stop"}, decision_seq=decided.seq))
    return envelope
