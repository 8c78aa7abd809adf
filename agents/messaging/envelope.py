"""The envelope around every message: who, when, after what, resting on what; canonical bytes, hash-checked, typed.

A message is a claim that rules may read, a note that only the model reads, or a proposal of rules, which is signed by
itself. Everything else in an envelope is untrusted: the body's hash shows damage, not authorship.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError, model_validator

from agents.messaging.claims import AgentName, Claim, first_complaint
from agents.messaging.errors import ClaimError, EnvelopeError, ProposalError
from agents.messaging.proposal import Proposal
from agents.recording.canonical import CanonicalError, canonical, canonical_sha256, sha256_hex

MAX_BYTES = 65_536
"""Largest envelope; anything longer is refused before it is parsed."""
MAX_NOTE_CHARS = 2_000
MAX_PARENTS = 256

MessageType = Literal["claim", "note", "rules"]
MESSAGE_TYPES: tuple[MessageType, ...] = ("claim", "note", "rules")
RunId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
MessageId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,32}\.[0-9]{1,10}\.[0-9]{1,10}$")]
Count = Annotated[int, Field(ge=0, lt=2**53)]
"""An integer that every JSON reader keeps."""
Seconds = Annotated[float, Field(ge=0.0)]


class Anchor(BaseModel):
    """A record in somebody's chain that a message rests on."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    owner: AgentName
    kind: Literal["observation", "decision", "rule"]
    seq: Count
    """Index in the owner's chain."""
    sha256: Sha256
    """Hash of that record; of the rule, for a rule."""


class Envelope(BaseModel):
    """One message on the bus; compose it with `compose`, read it from bytes with `decode`."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    v: Literal[1] = 1
    run: RunId
    id: MessageId
    """`<src>.<epoch>.<seq>`: unique in its run and readable."""
    src: AgentName
    epoch: Count
    """How often the sender has been restarted."""
    seq: Count
    """Count of the sender's messages in this epoch, from 0."""
    type: MessageType
    topic: str
    """Where it was published; part of the envelope, so that a broker cannot move it unseen."""
    tick: Count
    """Tick in which it was published; deciders see it from the next one on."""
    t_sim: Seconds
    """Simulation time of publication, in seconds."""
    valid_until: Seconds
    """Simulation time after which nobody may act on it, in seconds."""
    lamport: Count
    parents: Annotated[tuple[MessageId, ...], Field(max_length=MAX_PARENTS)] = ()
    """Ids of the messages that the sender's decision rested on."""
    anchors: Annotated[tuple[Anchor, ...], Field(max_length=MAX_PARENTS)] = ()
    body: dict[str, JsonValue]
    body_sha256: Sha256
    prev: Sha256
    """Hash of the sender's last record before this message."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.id != f"{self.src}.{self.epoch}.{self.seq}":
            raise ValueError(f"expected the id of src, epoch and seq, got `{self.id}`")
        if self.topic != topic_of(self.run, self.src, self.type):
            raise ValueError(f"expected the topic of run, src and type, got `{self.topic}`")
        if self.valid_until < self.t_sim:
            raise ValueError("expected a message that is valid when published, got an older `valid_until`")
        if self.body_sha256 != canonical_sha256(self.body):
            raise ValueError("expected a body that is what its hash says, got another")
        _check_body(self)
        return self

    @property
    def sha256(self) -> str:
        """Hash of the canonical bytes."""
        return sha256_hex(encode(self))

    def claim(self) -> Claim:
        """The claim in it.

        Raises:
            ClaimError: it is a note.
        """
        if self.type != "claim":
            raise ClaimError(f"expected a claim, got a {self.type} in message `{self.id}`")
        return Claim.from_body(self.body)

    def proposal(self) -> Proposal:
        """The proposal of rules in it.

        Raises:
            ProposalError: it is something else.
        """
        if self.type != "rules":
            raise ProposalError(f"expected rules, got a {self.type} in message `{self.id}`")
        return Proposal.from_body(self.body)

    def is_valid_at(self, t_sim: float) -> bool:
        """Whether one may still act on it at this simulation time, in seconds."""
        return t_sim <= self.valid_until


def compose(
    *,
    run: str,
    src: str,
    seq: int,
    tick: int,
    t_sim: float,
    valid_until: float,
    lamport: int,
    prev: str,
    body: Claim | Proposal | str,
    epoch: int = 0,
    parents: tuple[str, ...] = (),
    anchors: tuple[Anchor, ...] = (),
) -> Envelope:
    """An envelope around a claim or a proposal of rules, or around a note where the body is text.

    Args:
        run: identity of the run, 32 hex digits.
        src: the sending agent.
        seq: count of its messages so far.
        tick: tick of publication.
        t_sim: simulation time of publication, in seconds.
        valid_until: simulation time of expiry, in seconds.
        lamport: the sender's Lamport time.
        prev: hash of the sender's last record.
        body: a claim, a proposal of rules, or a note's text of at most `MAX_NOTE_CHARS`.
        epoch: how often the sender has been restarted.
        parents: ids of messages that it rests on.
        anchors: records that it rests on.

    Raises:
        EnvelopeError: a value out of its range.
    """
    kind: MessageType = "note" if isinstance(body, str) else "claim" if isinstance(body, Claim) else "rules"
    content: dict[str, JsonValue] = {"text": body} if isinstance(body, str) else body.to_body()
    try:
        return Envelope(
            run=run,
            id=f"{src}.{epoch}.{seq}",
            src=src,
            epoch=epoch,
            seq=seq,
            type=kind,
            topic=topic_of(run, src, kind),
            tick=tick,
            t_sim=float(t_sim),
            valid_until=float(valid_until),
            lamport=lamport,
            parents=parents,
            anchors=anchors,
            body=content,
            body_sha256=canonical_sha256(content),
            prev=prev,
        )
    except (ValidationError, CanonicalError) as error:
        raise EnvelopeError(f"expected a valid message of `{src}`, got {_complaint(error)}") from error


def topic_of(run: str, src: str, kind: MessageType) -> str:
    """Topic of an agent's messages of one type; only that agent writes there."""
    return f"localist/1/{run}/a/{src}/{kind}"


def encode(envelope: Envelope) -> bytes:
    """The canonical bytes of an envelope.

    Raises:
        EnvelopeError: they would be longer than `MAX_BYTES`.
    """
    data = canonical(envelope.model_dump(mode="json"))
    if len(data) > MAX_BYTES:
        raise EnvelopeError(f"expected at most {MAX_BYTES} bytes in message `{envelope.id}`, got {len(data)}")
    return data


def decode(data: bytes) -> Envelope:
    """The envelope in these bytes, which must be its canonical ones: no blanks, no doubled keys, no unknown fields.

    Raises:
        EnvelopeError: anything else, with the reason.
    """
    if len(data) > MAX_BYTES:
        raise EnvelopeError(f"expected at most {MAX_BYTES} bytes, got {len(data)}")
    try:
        envelope = Envelope.model_validate_json(data)
        if encode(envelope) != data:
            raise EnvelopeError("expected canonical bytes, got another spelling of the same message")
    except (ValidationError, CanonicalError) as error:
        raise EnvelopeError(f"expected an envelope, got {_complaint(error)}") from error
    return envelope


def _check_body(envelope: Envelope) -> None:
    if envelope.type == "claim":
        claim = Claim.from_body(envelope.body)
        if (claim.sender, claim.tick) != (envelope.src, envelope.tick):
            raise ValueError("expected a claim of the sender in this tick, got another sender or tick")
        return
    if envelope.type == "rules":
        Proposal.from_body(envelope.body)
        return
    text = envelope.body.get("text")
    if envelope.body.keys() != {"text"} or not isinstance(text, str) or len(text) > MAX_NOTE_CHARS:
        raise ValueError(f"expected a note of at most {MAX_NOTE_CHARS} characters, got another body")


def _complaint(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return first_complaint(error)
    return str(error).partition("\n")[0]
