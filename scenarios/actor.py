"""One agent of a run: its role, its chain in the record, its inbox; it perceives, announces and writes down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from agents.deciding.decide import Situation
from agents.deciding.decision import Decision, record_of
from agents.deciding.lexicon import Lexicon, lexicon
from agents.deciding.prompting import Message
from agents.messaging import Claim, ClaimError, ClaimField, ClaimValue, Envelope, checked, compose
from agents.recording.events import Fault, FaultKind, MessageReceived, MessageSent, Observation
from agents.recording.log import Chain
from scenarios.scenario import Role
from scenarios.world import Description
from symbolic import Facts

VALID_TICKS = 2
"""A claim is for the tick after the one it was made in; older ones are not acted on."""


@dataclass(slots=True, kw_only=True)
class Actor:
    """The only thing in a run that changes for one agent."""

    name: str
    role: Role
    chain: Chain
    words: Lexicon = field(init=False)
    inbox: tuple[Envelope, ...] = ()
    """What the last barrier gave out."""
    num_sent: int = 0
    observation_seq: int | None = None

    def __post_init__(self) -> None:
        self.words = lexicon(self.role.rules)

    def hear(self, tick: int, t_sim: float, declared: Mapping[str, ClaimField]) -> dict[str, Claim]:
        """Write down what arrived; the claims in it by sender, refused as a whole where one is not as declared.

        A sender's claims of one tick are put together as one.
        """
        heard: dict[str, Claim] = {}
        fresh = tuple(envelope for envelope in self.inbox if envelope.is_valid_at(t_sim))
        self.inbox = fresh
        for envelope in fresh:
            self.chain.observe(envelope.lamport)
            self.chain.append(
                tick,
                MessageReceived(id=envelope.id, sha256=envelope.sha256, src=envelope.src, type=envelope.type),
            )
            if envelope.type != "claim":
                continue
            try:
                claim = checked(envelope.claim(), declared)
            except ClaimError as error:
                self.chain.append(tick, Fault(fault=FaultKind.CLAIM_REFUSED, detail=str(error)))
                continue
            before = heard.get(envelope.src)
            merged = claim if before is None else before.model_copy(update={"fields": before.fields | claim.fields})
            heard[envelope.src] = merged
        return heard

    def situation(self, tick: int, facts: Facts | None, wish: Description) -> Situation:
        """Write down what was perceived; all that the next decision rests on."""
        self.observation_seq = None
        if facts is None:
            self.chain.append(tick, Fault(fault=FaultKind.OBSERVATION_MISSING, detail="the world gave no observation"))
        else:
            seen = Observation(facts=json.loads(facts.to_json()), facts_sha256=facts.sha256, age_s=facts.age_s)
            self.observation_seq = self.chain.append(tick, seen).seq
        return Situation(
            agent=self.name,
            role=wish.role,
            words=self.words,
            facts=facts,
            goal=wish.goal,
            safe_stop=self.role.rules.actions.index(self.role.safe_stop),
            messages=tuple(Message(sender=e.src, text=text_of(e), envelope=e.id) for e in self.inbox),
            claims=tuple(envelope.id for envelope in self.inbox if envelope.type == "claim"),
            schedule=self.role.dial,
        )

    def record(self, tick: int, decision: Decision) -> int:
        """Write a decision down; its index in the chain."""
        event = record_of(
            decision,
            actions=self.role.rules.actions,
            observation_seq=self.observation_seq,
            text=lambda text: self.chain.text(tick, text),
        )
        return self.chain.append(tick, event).seq

    def announce(
        self, run: str, tick: int, t_sim: float, step_s: float, said: Mapping[str, ClaimValue], kinds: Mapping[str, str]
    ) -> list[Envelope]:
        """Write down and compose what the agent says now, one claim of each kind.

        Args:
            run: identity of the run.
            tick: the present tick.
            t_sim: simulated time since the run began, in seconds.
            step_s: simulated time of one tick.
            said: claim field -> value.
            kinds: claim field -> kind of the claims that carry it.
        """
        envelopes = []
        for kind in sorted({kinds[name] for name in said}):
            fields = {name: value for name, value in sorted(said.items()) if kinds[name] == kind}
            envelope = compose(
                run=run,
                src=self.name,
                seq=self.num_sent,
                tick=tick,
                t_sim=t_sim,
                valid_until=t_sim + VALID_TICKS * step_s,
                lamport=self.chain.lamport + 1,
                prev=self.chain.head,
                body=Claim(kind=kind, sender=self.name, fields=fields, tick=tick),
            )
            self.num_sent += 1
            sent = MessageSent(id=envelope.id, sha256=envelope.sha256, envelope=envelope.model_dump(mode="json"))
            self.chain.append(tick, sent)
            envelopes.append(envelope)
        return envelopes


def text_of(envelope: Envelope) -> str:
    """A message as a prompt shows it: a note's text, or a claim's fields."""
    if envelope.type == "claim":
        return " ".join(f"{name} {_shown(value)}" for name, value in sorted(envelope.claim().fields.items()))
    return str(envelope.body["text"])


def _shown(value: ClaimValue) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
