"""Behind every transport: which bytes are let in, and which envelopes each agent sees after a tick.

Pure bookkeeping without clock, task or socket, so that every transport gives the same deliveries. The barrier:
envelopes of tick t are collected until every expected sender's are there, then sorted by (src, epoch, seq) and given
out together; deciders read them in tick t + 1. What is refused is counted, never raised: an attacker cannot stop a run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from agents.messaging.envelope import MAX_BYTES, Envelope, decode
from agents.messaging.errors import EnvelopeError
from agents.recording.canonical import sha256_hex

TICKS_AHEAD = 2
"""A sender in another process may have passed the barrier that this one still waits at, but not the next."""
TICKS_REMEMBERED = 8
"""For so long a repeated message is called a duplicate; later it is called late. Neither is let in."""
MAX_WAITING = 8_192
"""Envelopes held at most (at most 512 MiB, of usual size 8 MiB); more are refused."""


class Refusal(StrEnum):
    """Why a message was not let in."""

    OVERSIZED = "oversized"
    MALFORMED = "malformed"
    WRONG_RUN = "wrong-run"
    WRONG_TOPIC = "wrong-topic"
    FORGED = "forged"
    """In the name of an agent of this process, but not what it published."""
    DUPLICATE = "duplicate"
    LATE = "late"
    """Of a tick whose barrier has passed."""
    EARLY = "early"
    """Of a tick that nobody can have reached."""
    UNEXPECTED = "unexpected"
    """More than its sender announced, or from a sender that announced nothing."""
    UNKNOWN_SENDER = "unknown-sender"
    OVERFLOW = "overflow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Messages refused since the last delivery, for one reason and sender."""

    reason: Refusal
    src: str
    """The sender named in the message, if it is one of this run; else `unknown`."""
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a tick's barrier gives out."""

    tick: int
    inboxes: Mapping[str, tuple[Envelope, ...]]
    """Subscribed agent -> envelopes for it, in order of (src, epoch, seq); read in the next tick."""
    refused: tuple[Refused, ...]
    """In order of reason and sender."""


class Mailbox:
    """Admission and barrier of one run in one process."""

    def __init__(self, run: str, *, remotes: Collection[str] = ()) -> None:
        self._run = run
        self._remotes = frozenset(remotes)
        self._hears: dict[str, frozenset[str] | None] = {}
        self._posted: dict[str, str] = {}
        self._waiting: dict[str, Envelope] = {}
        self._here: Counter[tuple[int, str]] = Counter()
        self._seen: dict[str, int] = {}
        self._marks: dict[tuple[str, int], int] = {}
        self._refused: Counter[tuple[Refusal, str]] = Counter()
        self._drained = -1
        self._standing: dict[str, Envelope] = {}

    @property
    def standing(self) -> tuple[Envelope, ...]:
        """The last rules that each sender proposed, by sender: for whoever joins when they have been given out."""
        return tuple(envelope for _, envelope in sorted(self._standing.items()))

    @property
    def drained(self) -> int:
        """Last tick given out; -1 before the first."""
        return self._drained

    def subscribe(self, agent: str, hears: Collection[str] | None) -> None:
        """Give an agent an inbox; from all other agents, or from those named."""
        self._hears[agent] = None if hears is None else frozenset(hears)

    def post(self, envelope: Envelope, data: bytes) -> None:
        """Note what an agent of this process publishes, so that nobody else can speak in its name.

        Raises:
            EnvelopeError: of another run, of a sender without inbox, of a past tick, or an id used before.
        """
        if envelope.run != self._run:
            raise EnvelopeError(f"expected a message of run {self._run[:8]}, got one of {envelope.run[:8]}")
        if envelope.src not in self._hears:
            raise EnvelopeError(f"expected a subscribed sender, got `{envelope.src}`; subscribe it first")
        if not self._drained < envelope.tick <= self._drained + TICKS_AHEAD:
            raise EnvelopeError(f"expected a message of tick {self._drained + 1}, got one of {envelope.tick}")
        if envelope.id in self._posted or self._is_used(envelope):
            raise EnvelopeError(f"expected a new message id, got `{envelope.id}` again")
        self._posted[envelope.id] = sha256_hex(data)

    def admit(self, topic: str, data: bytes) -> None:
        """Let an arriving message in, or count why not."""
        if len(data) > MAX_BYTES:
            self._refuse(Refusal.OVERSIZED)
            return
        try:
            envelope = decode(data)
        except EnvelopeError:
            self._refuse(Refusal.MALFORMED)
            return
        reason = self._objection(envelope, topic, data)
        if reason is None:
            self._waiting[envelope.id] = envelope
            self._here[(envelope.tick, envelope.src)] += 1
        else:
            self._refuse(reason, envelope.src)

    def stand(self, topic: str, data: bytes) -> None:
        """Take in rules that were proposed before we joined, or count why not; their signer's number still decides."""
        try:
            envelope = decode(data)
        except EnvelopeError:
            self._refuse(Refusal.OVERSIZED if len(data) > MAX_BYTES else Refusal.MALFORMED)
            return
        if envelope.run != self._run:
            self._refuse(Refusal.WRONG_RUN, envelope.src)
        elif envelope.topic != topic or envelope.type != "rules":
            self._refuse(Refusal.WRONG_TOPIC, envelope.src)
        elif envelope.src not in self._hears and envelope.src not in self._remotes:
            self._refuse(Refusal.UNKNOWN_SENDER)
        else:
            self._keep(envelope)

    def _keep(self, envelope: Envelope) -> None:
        """Let the latest proposal of a sender stand."""
        before = self._standing.get(envelope.src)
        if before is None or (before.epoch, before.seq) < (envelope.epoch, envelope.seq):
            self._standing[envelope.src] = envelope

    def is_complete(self, tick: int, expected: Mapping[str, int]) -> bool:
        """Whether every expected envelope of the tick is here."""
        return not self.missing(tick, expected)

    def missing(self, tick: int, expected: Mapping[str, int]) -> dict[str, int]:
        """Sender -> number of envelopes of the tick still to come."""
        here = {src: self._here[(tick, src)] for src in expected}
        return {src: count - here[src] for src, count in sorted(expected.items()) if here[src] < count}

    def deliver(self, tick: int, expected: Mapping[str, int]) -> Delivery:
        """Close the tick: what is there and was expected goes out, the rest of it is refused."""
        here = sorted((e for e in self._waiting.values() if e.tick <= tick), key=lambda e: (e.src, e.epoch, e.seq))
        admitted: list[Envelope] = []
        taken: Counter[str] = Counter()
        for envelope in here:
            self._close(envelope)
            if taken[envelope.src] < expected.get(envelope.src, 0):
                taken[envelope.src] += 1
                admitted.append(envelope)
                if envelope.type == "rules":
                    self._keep(envelope)
            else:
                self._refuse(Refusal.UNEXPECTED, envelope.src)
        self._drained = tick
        self._posted = {name: digest for name, digest in self._posted.items() if name not in self._seen}
        self._seen = {name: seen for name, seen in self._seen.items() if seen > tick - TICKS_REMEMBERED}
        inboxes = {agent: self._inbox(agent, admitted) for agent in sorted(self._hears)}
        return Delivery(tick=tick, inboxes=inboxes, refused=self._take_refused())

    def _objection(self, envelope: Envelope, topic: str, data: bytes) -> Refusal | None:
        if envelope.run != self._run:
            return Refusal.WRONG_RUN
        if envelope.topic != topic:
            return Refusal.WRONG_TOPIC
        if envelope.src not in self._hears and envelope.src not in self._remotes:
            return Refusal.UNKNOWN_SENDER
        if envelope.id in self._waiting or envelope.id in self._seen:
            return Refusal.DUPLICATE
        if envelope.tick <= self._drained:
            return Refusal.LATE
        if self._is_used(envelope):
            return Refusal.DUPLICATE
        if envelope.src in self._hears and self._posted.get(envelope.id) != sha256_hex(data):
            return Refusal.FORGED
        if envelope.tick > self._drained + TICKS_AHEAD:
            return Refusal.EARLY
        if len(self._waiting) >= MAX_WAITING:
            return Refusal.OVERFLOW
        return None

    def _inbox(self, agent: str, envelopes: list[Envelope]) -> tuple[Envelope, ...]:
        hears = self._hears[agent]
        return tuple(e for e in envelopes if e.src != agent and (hears is None or e.src in hears))

    def _is_used(self, envelope: Envelope) -> bool:
        """Whether the sender has been heard with this or a later sequence number."""
        return envelope.seq <= self._marks.get((envelope.src, envelope.epoch), -1)

    def _close(self, envelope: Envelope) -> None:
        """Take an envelope out of the waiting ones and remember its number."""
        source = (envelope.src, envelope.epoch)
        del self._waiting[envelope.id]
        self._here.pop((envelope.tick, envelope.src), None)
        self._seen[envelope.id] = envelope.tick
        self._marks[source] = max(self._marks.get(source, -1), envelope.seq)

    def _refuse(self, reason: Refusal, src: str = "unknown") -> None:
        known = src if src in self._hears or src in self._remotes else "unknown"
        self._refused[(reason, known)] += 1

    def _take_refused(self) -> tuple[Refused, ...]:
        refused = tuple(
            Refused(reason=reason, src=src, count=count) for (reason, src), count in sorted(self._refused.items())
        )
        self._refused.clear()
        return refused
