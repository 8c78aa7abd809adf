"""How often a guard did what."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from symbolic.guarding.guarded import FaultKind, Guarded
from symbolic.guarding.ladder import Rung


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Decisions by the rung that gave them, and what should never be."""

    decisions: int
    first_try: int
    """The first proposal complied."""
    asked: int
    """A later proposal complied."""
    repaired: int
    shielded: int
    """A witness of the totality proof was taken."""
    stopped: int
    """The safe stop was taken."""
    asks: int
    """Proposals after the first, over all decisions."""
    interventions_on_compliant: int
    """Decisions whose first proposal complied and was not what enforcement executes: 0 by construction, as long as
    records can be written."""
    faults: dict[FaultKind, int] = field(default_factory=dict)
    """Kinds that came up, and how often."""


class Tally:
    """Counts while they grow."""

    def __init__(self) -> None:
        self.first_tries = 0
        """Decisions of the quick way, counted by it: compliant first proposals without faults."""
        self._rungs: Counter[Rung] = Counter()
        self._faults: Counter[FaultKind] = Counter()
        self._asks = self._interventions = 0

    def add(self, guarded: Guarded[Any]) -> None:
        """Count one decision."""
        self._rungs[guarded.rung] += 1
        self._asks += max(0, len(guarded.attempts) - 1)
        if guarded.rung is not Rung.PROPOSED and guarded.attempts and guarded.attempts[0].is_safe:
            self._interventions += 1
        for fault in guarded.faults:
            self._faults[fault.kind] += 1

    def counts(self) -> Counts:
        """As they are now."""
        rungs = self._rungs
        return Counts(
            decisions=rungs.total() + self.first_tries,
            first_try=rungs[Rung.PROPOSED] + self.first_tries,
            asked=rungs[Rung.ASKED],
            repaired=rungs[Rung.REPAIRED],
            shielded=rungs[Rung.WITNESS],
            stopped=rungs[Rung.SAFE_STOP],
            asks=self._asks,
            interventions_on_compliant=self._interventions,
            faults=dict(sorted(self._faults.items())),
        )
