"""One core answered for by two: the first decides, the second is asked the same, and what both said is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from localist_core import Capabilities, Choice, Core, Dial, Request

MARGIN = 1e-2
"""Smallest margin from which on two devices must choose alike."""


@dataclass
class Pair:
    """A core of two; each agent has a dial of its own, 0.1 for car-1 to 0.8 for car-8."""

    first: Core
    second: Core
    asked: list[tuple[Request, Choice, Choice]] = field(default_factory=list)

    @property
    def capabilities(self) -> Capabilities:
        return self.first.capabilities

    def decide(self, requests: Sequence[Request]) -> tuple[Choice, ...]:
        dialled = [replace(request, dial=own_dial(request)) for request in requests]
        ours, theirs = (core.decide(dialled) for core in (self.first, self.second))
        self.asked += zip(dialled, ours, theirs, strict=True)
        return ours

    def knock_out(self, request: Request, block: str) -> float:
        return self.first.knock_out(request, block)

    def differing(self) -> list[tuple[Choice, Choice]]:
        """Choices that differ though the first was sure."""
        return [(one, two) for _, one, two in self.asked if one.margin > MARGIN and one.chosen != two.chosen]

    def dials(self) -> set[float]:
        return {request.dial.value for request, _, _ in self.asked}


def own_dial(request: Request) -> Dial:
    number = int(request.agent.rpartition("-")[2])
    return replace(request.dial, value=number / 10) if request.dial.targets else request.dial
