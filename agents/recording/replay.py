"""A recorded run asked again: what the core answered, in the same places, so that a replay needs no model.

cassette = Cassette(Trace.read(run))
attempt = cassette.answer("car-1", prompt.sha256, dial)      # in place of the core
first_divergence(recorded, replayed)                         # None: bit-equal
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import zip_longest

from agents.recording.errors import ReplayError
from agents.recording.events import FLOAT_DIGITS, AttemptRecord, DecisionRecord, Record
from agents.recording.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAttempt:
    """An attempt and where it stands."""

    tick: int
    number: int
    """Index among the attempts of its decision."""
    attempt: AttemptRecord


class Cassette:
    """The attempts of a trace, given out once each, per agent in recorded order."""

    def __init__(self, trace: Trace) -> None:
        self._attempts: dict[str, deque[RecordedAttempt]] = {}
        for record in trace.records:
            if isinstance(record.event, DecisionRecord):
                self._attempts.setdefault(record.agent, deque()).extend(
                    RecordedAttempt(tick=record.tick, number=number, attempt=attempt)
                    for number, attempt in enumerate(record.event.attempts)
                )

    def answer(self, agent: str, prompt_sha256: str, dial: float) -> AttemptRecord:
        """The recorded answer to this agent's next question.

        Args:
            agent: who asks.
            prompt_sha256: hash of the prompt that is asked now.
            dial: value of the dial that it is asked with, in [0, 1].

        Raises:
            ReplayError: the record has no further question of this agent, or another one comes next.
        """
        waiting = self._attempts.get(agent)
        if not waiting:
            raise ReplayError(f"expected no further question of `{agent}`, got one; the recorded run ended before")
        place = waiting[0]
        if place.attempt.prompt_sha256 != prompt_sha256:
            raise ReplayError(
                f"expected the recorded prompt {place.attempt.prompt_sha256[:12]} of `{agent}` in tick {place.tick}, "
                f"attempt {place.number + 1}, got {prompt_sha256[:12]}; the replayed run has left the recorded one"
            )
        if place.attempt.dial.value != round(dial, FLOAT_DIGITS):
            raise ReplayError(
                f"expected dial {place.attempt.dial.value} of `{agent}` in tick {place.tick}, "
                f"attempt {place.number + 1}, got {dial}; the replayed run has left the recorded one"
            )
        return waiting.popleft().attempt

    def num_left(self) -> int:
        """Recorded attempts that nobody has asked for yet."""
        return sum(len(waiting) for waiting in self._attempts.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """The first place where two traces differ."""

    index: int
    """Index in the merged trace."""
    recorded: Record | None
    """None where the recorded trace has ended."""
    replayed: Record | None
    """None where the replayed trace has ended."""


def first_divergence(recorded: Trace, replayed: Trace) -> Divergence | None:
    """Where the second trace leaves the first; None if they are equal record by record, hashes included."""
    for index, (old, new) in enumerate(zip_longest(recorded.records, replayed.records)):
        if old is None or new is None or old.hash != new.hash or old != new:
            return Divergence(index=index, recorded=old, replayed=new)
    return None
