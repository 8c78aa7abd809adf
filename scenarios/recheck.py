"""Decides the verdicts of a run again with Z3, in batches on another thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from symbolic import Action, Facts, RuleSet, Verdict
from symbolic.solving.redecision import Mismatch, Redecision, redecide

BATCH = 256
"""Verdicts decided again at once; the results of a batch are waited for when the next one is full."""

Noted = tuple[Facts, Action, Verdict]

Redecide = Callable[[RuleSet[Any, Any], Sequence[Noted]], Redecision]
"""Decides verdicts of one rule set again."""


class Rechecks:
    """Verdicts waiting to be confirmed, and what was not."""

    def __init__(self, decide: Redecide = redecide) -> None:
        """`decide` gives the second opinion; Z3 does by default."""
        self._decide = decide
        self._waiting: list[tuple[RuleSet[Any, Any], Noted]] = []
        self._running: asyncio.Task[list[Redecision]] | None = None
        self.num_verdicts = 0
        """Verdicts given to Z3 so far."""
        self.num_inconclusive = 0
        """Verdicts of finished batches that Z3 neither confirmed nor contradicted: no approval, and no mismatch."""

    def note(self, rules: RuleSet[Any, Any], facts: Facts, verdict: Verdict) -> None:
        """Put a verdict into the next batch; one without an action has nothing to decide."""
        if verdict.action is not None:
            self._waiting.append((rules, (facts, verdict.action, verdict)))

    async def settle(self, *, is_last: bool = False) -> list[Mismatch]:
        """Start the next batch if it is full; what the one before found. The last call waits for everything."""
        if len(self._waiting) < BATCH and not is_last:
            return []
        found = await self._finished()
        batch, self._waiting = self._waiting, []
        self.num_verdicts += len(batch)
        if batch:
            self._running = asyncio.create_task(asyncio.to_thread(_redecided, self._decide, batch))
        return found + (await self._finished() if is_last else [])

    async def _finished(self) -> list[Mismatch]:
        task, self._running = self._running, None
        found = [] if task is None else await task
        self.num_inconclusive += sum(len(one.inconclusive) for one in found)
        return [mismatch for one in found for mismatch in one.mismatches]


def _redecided(decide: Redecide, batch: Sequence[tuple[RuleSet[Any, Any], Noted]]) -> list[Redecision]:
    """Decide a batch again, one rule set after another."""
    by_set: dict[str, tuple[RuleSet[Any, Any], list[Noted]]] = {}
    for rules, noted in batch:
        by_set.setdefault(rules.sha256, (rules, []))[1].append(noted)
    return [decide(rules, notes) for rules, notes in by_set.values()]
