"""A core that answers from a recorded run: replay needs no model, and shows that nothing else decided."""

from __future__ import annotations

from collections.abc import Sequence

from agents.recording.errors import ReplayError
from agents.recording.events import AttemptRecord
from agents.recording.replay import Cassette
from agents.recording.trace import Trace
from localist_core import BlockTrace, Capabilities, Choice, Request


class RecordedCore:
    """Implements `Core`: every question gets the recorded answer to the same question in the same place."""

    def __init__(self, trace: Trace) -> None:
        self._cassette = Cassette(trace)
        self._knocked: dict[tuple[str, str], dict[str, float]] = {}
        card = trace.header.core
        decisions = (step.decision for step in trace.steps())
        attempts = [attempt for decision in decisions if decision for attempt in decision.attempts]
        self.capabilities = Capabilities(
            name=card.name,
            dials=True,
            traces=any(attempt.masses is not None for attempt in attempts),
            cites=any(attempt.citations is not None for attempt in attempts),
            device=card.device,
            dtype=card.dtype,
            fingerprint=card.fingerprint,
        )

    def decide(self, requests: Sequence[Request]) -> tuple[Choice, ...]:
        """The recorded answers.

        Raises:
            ReplayError: a question that the record does not have there.
        """
        return tuple(map(self._answer, requests))

    def knock_out(self, request: Request, block: str) -> float:
        """The recorded change, in nats.

        Raises:
            ReplayError: it was not measured then.
        """
        try:
            return self._knocked[(request.agent, request.prompt.sha256)][block]
        except KeyError:
            raise ReplayError(
                f"expected a recorded knock-out of `{block}` for `{request.agent}`, got none; "
                "the replayed run has left the recorded one"
            ) from None

    def num_left(self) -> int:
        """Recorded answers that nobody asked for."""
        return self._cassette.num_left()

    def _answer(self, request: Request) -> Choice:
        sha256 = request.prompt.sha256
        attempt = self._cassette.answer(request.agent, sha256, request.dial.value)
        self._knocked[(request.agent, sha256)] = dict(attempt.knock_out_nats)
        return choice_of_record(attempt)


def choice_of_record(attempt: AttemptRecord) -> Choice:
    """The choice that an attempt recorded."""
    return Choice(
        actions=attempt.actions,
        probabilities=attempt.probabilities,
        chosen=attempt.chosen,
        margin=attempt.margin,
        citations=attempt.citations,
        trace=_trace_of_record(attempt),
        dial=attempt.dial.value,
    )


def _trace_of_record(attempt: AttemptRecord) -> BlockTrace | None:
    masses = attempt.masses
    if masses is None:
        return None
    return BlockTrace(
        blocks=masses.blocks,
        raw=masses.raw,
        steered=masses.steered,
        raw_fidelity=masses.raw_fidelity,
        steered_fidelity=masses.steered_fidelity,
        target_mass=masses.target_mass,
        entropy_bits=masses.entropy_bits,
        layers=tuple((layer.raw_fidelity, layer.steered_fidelity) for layer in masses.layers),
        is_raw_from_dial_zero=masses.is_raw_from_dial_zero,
    )
