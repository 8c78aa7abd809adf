"""Decides the verdicts of a run again with Z3, in batches on another thread."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from symbolic import Action, Facts, RuleSet, Verdict
from symbolic.solving.smt import Mismatch, redecide

BATCH = 256
"""Verdicts decided again at once; the results of a batch are waited for when the next one is full."""

Noted = tuple[Facts, Action, Verdict]


class Rechecks:
    """Verdicts waiting to be confirmed, and what was not."""

    def __init__(self) -> None:
        self._waiting: list[tuple[RuleSet[Any, Any], Noted]] = []
        self._running: asyncio.Task[list[Mismatch]] | None = None
        self.num_verdicts = 0
        """Verdicts given to Z3 so far."""

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
            self._running = asyncio.create_task(asyncio.to_thread(_redecide, batch))
        return found + (await self._finished() if is_last else [])

    async def _finished(self) -> list[Mismatch]:
        task, self._running = self._running, None
        return [] if task is None else await task


def _redecide(batch: Sequence[tuple[RuleSet[Any, Any], Noted]]) -> list[Mismatch]:
    """Decide a batch again, one rule set after another."""
    by_set: dict[str, tuple[RuleSet[Any, Any], list[Noted]]] = {}
    for rules, noted in batch:
        by_set.setdefault(rules.sha256, (rules, []))[1].append(noted)
    return [mismatch for rules, notes in by_set.values() for mismatch in redecide(rules, notes)]
