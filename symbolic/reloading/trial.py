"""A candidate checked beside the live rules for some steps: what it would have said otherwise is counted and kept."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Final

from symbolic.domain import Action
from symbolic.facts import Facts
from symbolic.rules import RuleSet
from symbolic.verdict import Outcome, Verdict

KEPT: Final = 16
"""Examples kept of one trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """One check with two outcomes."""

    facts: str
    """The facts as canonical JSON."""
    action: Action | None
    live: Outcome
    candidate: Outcome
    rules: tuple[str, ...]
    """Names of the rules that the action breaks in the set that finds it unsafe."""


class Trial:
    """Compares outcomes; safe to call from any thread. It decides nothing: verdicts stay those of the live rules."""

    def __init__(self, candidate: RuleSet[Any, Any], *, steps: int, most: int = 0) -> None:
        """Start a trial.

        Args:
            candidate: the rules on trial.
            steps: checks after which it is over, >= 1.
            most: outcomes that may differ, >= 0; one more and the candidate is withdrawn.
        """
        if steps < 1 or most < 0:
            raise ValueError(
                f"expected 1 or more steps and a limit of 0 or more, got `{steps}`, `{most}`; correct them"
            )
        self.candidate, self.steps, self.most = candidate, steps, most
        self.num_steps = self.num_differences = 0
        self.examples: list[Disagreement] = []
        self._lock = threading.Lock()

    @property
    def is_over(self) -> bool:
        """Whether all steps were seen, or the limit was passed."""
        return self.num_steps >= self.steps or not self.is_passing

    @property
    def is_passing(self) -> bool:
        """Whether no more outcomes differ than the limit allows."""
        return self.num_differences <= self.most

    def compare(self, facts: Facts, action: Action, verdict: Verdict) -> None:
        """Check the candidate where the live rules gave a verdict; nothing happens once the trial is over."""
        if self.is_over:
            return
        other = self.candidate.check(facts, action)
        with self._lock:
            if self.is_over:
                return
            self.num_steps += 1
            if other.outcome is not verdict.outcome:
                self.num_differences += 1
                if len(self.examples) < KEPT:
                    self.examples.append(_disagreement(facts, verdict, other))


def _disagreement(facts: Facts, live: Verdict, candidate: Verdict) -> Disagreement:
    unsafe = live if live.violations else candidate
    return Disagreement(
        facts=facts.to_json() if live.facts_sha256 else "",
        action=live.action,
        live=live.outcome,
        candidate=candidate.outcome,
        rules=tuple(violation.name for violation in unsafe.violations),
    )
