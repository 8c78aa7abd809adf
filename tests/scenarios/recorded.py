"""A small recorded run made by hand: two cars, one corrected decision; no core, no world."""

from __future__ import annotations

from pathlib import Path

from agents.recording.audit import prompt_sha256
from agents.recording.canonical import canonical_sha256
from agents.recording.events import (
    Applied,
    AttemptRecord,
    BlockRef,
    CoreCard,
    DecisionRecord,
    DialRecord,
    Header,
    MassRecord,
    Observation,
    Outcome,
    RoleCard,
    RuleCard,
    Rung,
    VerdictRecord,
    ViolationRecord,
)
from agents.recording.log import Chain, RunLog

SHA = "a" * 64
FACTS = {"age_s": 0.0, "fields": {"gap_m": 4.5, "light": "red", "speed": [3.0, 5.0]}, "schema": "Car", "version": 1}
RULE = RuleCard(
    rule="R1",
    name="enter_on_red",
    kind="forbid",
    title="Never enter on red.",
    source="StVO 37",
    priority=90,
    sentence="Forbidden when light is red and manoeuvre is go.",
)
OTHER = RULE.model_copy(update={"rule": "R2", "name": "keep_gap", "sentence": "Forbidden when gap_m < 2."})
ROLE = RoleCard(
    goal="cross safely and soon",
    ruleset_sha256=SHA,
    rules=(RULE, OTHER),
    actions={"A1": {"manoeuvre": "stop"}, "A2": {"manoeuvre": "go"}},
    safe_stop="A1",
)
HEADER = Header(
    run="0" * 32,
    seed=7,
    scenario="hand-made",
    config={"episodes": 1, "without": [], "bus": {"kind": "local", "broker": None}},
    versions={},
    core=CoreCard(name="scripted", device="cpu", dtype="float64", fingerprint="none"),
    agents=("car-1", "car-2"),
    roles={"car": ROLE},
)


def verdict(action: str) -> VerdictRecord:
    """`A2` breaks the first rule."""
    found = ViolationRecord(
        rule="R1",
        name=RULE.name,
        title=RULE.title,
        source=RULE.source,
        priority=90,
        sentence=RULE.sentence,
        numbers=(("light", "red"), ("manoeuvre", "go")),
    )
    is_bad = action == "A2"
    return VerdictRecord(
        outcome="unsafe" if is_bad else "safe",
        action=action,
        violations=(found,) if is_bad else (),
        facts_sha256=canonical_sha256(FACTS),
        ruleset_sha256=SHA,
    )


def attempt(chain: Chain, *, chosen: str, dial: float, injected: bool) -> AttemptRecord:
    """One question: `obs` and the rule, with the injection where it is said."""
    kinds = {"obs": "observation", "R1": "rulebook"} | ({"inject-1": "injection"} if injected else {})
    texts = {"obs": "light red", "R1": RULE.sentence, "inject-1": "R1 forbids go now"}
    blocks = tuple(
        BlockRef(name=name, kind=kind, trust=1, text_sha256=chain.text(3, texts[name])) for name, kind in kinds.items()
    )
    share = round(1 / len(blocks), 6)
    draft = AttemptRecord(
        prompt_sha256=SHA,
        blocks=blocks,
        injections=("inject-1",) if injected else (),
        dial=DialRecord(value=dial, targets=("R1", "obs")),
        actions=("A1", "A2"),
        probabilities=(0.75, 0.25) if chosen == "A1" else (0.25, 0.75),
        chosen=chosen,
        margin=0.5,
        citations=(None, "R1"),
        masses=MassRecord(
            blocks=tuple(kinds),
            raw=(share,) * len(blocks),
            steered=(share,) * len(blocks),
            raw_fidelity=0.5,
            steered_fidelity=max(0.5, dial),
            target_mass=share,
            entropy_bits=1.0,
            is_raw_from_dial_zero=True,
        ),
        knock_out_nats={"inject-1": -0.4} if injected else {},
        verdict=verdict(chosen),
    )
    hashes = {block.text_sha256: texts[block.name] for block in blocks}
    return draft.model_copy(update={"prompt_sha256": prompt_sha256(draft, hashes)})


def record_run(path: Path) -> Path:
    """Record the run: car-1 wants to go on red in tick 3 and stops after an injection; car-2 stops at once."""
    with RunLog.open(path, HEADER) as log:
        for agent in HEADER.agents:
            chain = log.chain(agent)
            seen = chain.append(3, Observation(facts=FACTS, facts_sha256=canonical_sha256(FACTS)))
            attempts = [attempt(chain, chosen="A1" if agent == "car-2" else "A2", dial=0.2, injected=False)]
            if agent == "car-1":
                attempts.append(attempt(chain, chosen="A1", dial=0.5, injected=True))
            decision = chain.append(
                3,
                DecisionRecord(
                    observation_seq=seen.seq,
                    attempts=tuple(attempts),
                    rung=Rung.INJECTED if len(attempts) > 1 else Rung.PROPOSED,
                    action="A1",
                    fields={"manoeuvre": "stop"},
                    verdict=verdict("A1"),
                ),
            )
            chain.append(3, Applied(action="A1", fields={"manoeuvre": "stop"}, decision_seq=decision.seq))
        for agent in HEADER.agents:
            log.chain("world").append(3, Outcome(agent=agent, measures={"has_crashed": False}, is_terminated=True))
        log.flush()
    return path
