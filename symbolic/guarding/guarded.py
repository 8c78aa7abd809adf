"""What a guard says: the action to execute, the rung that gave it, what was tried and what failed on the way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from symbolic.domain import Action
from symbolic.explaining.explanation import Explanation
from symbolic.explaining.wording import action_text, sentences
from symbolic.guarding.ladder import Mode, Rung
from symbolic.verdict import Verdict, Violation

A = TypeVar("A", bound=Action)

MAX_DETAIL = 300
"""Characters kept of what was proposed, or of what failed."""


MAX_SHOWN = 16
"""Allowed actions that feedback names in its text."""


class FaultKind(StrEnum):
    """What went wrong; none of them is approval."""

    FACTS_UNREADABLE = "facts-unreadable"
    FACTS_STALE = "facts-stale"
    RULES_UNFIT = "rules-unfit"
    """No rules, or rules over another action type than the ladder's."""
    PROPOSER_FAILED = "proposer-failed"
    """It raised."""
    PROPOSER_LATE = "proposer-late"
    """No proposal in time; a late one is dropped."""
    PROPOSER_STUCK = "proposer-stuck"
    """Too many calls never returned: no new one is started."""
    CHECK_FAILED = "check-failed"
    """The rules, or a search among actions, came to no decision."""
    CLOCK_WRONG = "clock-wrong"
    """The clock went backwards or told no time: nothing more is waited for."""
    DEADLINE_PASSED = "deadline-passed"
    """The action was found too late for the deadline: the machine, or a proposer that blocks, took the time."""
    RECORD_FAILED = "record-failed"
    """The record could not be written: an unrecorded action never acts."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that went wrong."""

    kind: FaultKind
    detail: str
    """One line."""


def one_line(said: object) -> str:
    """A text of any length as one short line."""
    return " ".join(str(said).split())[:MAX_DETAIL]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt(Generic[A]):
    """One proposal and what was found of it."""

    action: A | None
    """None where the proposal is no action."""
    verdict: Verdict | None
    """None where the proposal is no action."""
    proposed: str = ""
    """What was proposed instead of an action, cut short."""
    complaint: str = ""
    """Why it is no action, in one line."""

    @property
    def is_safe(self) -> bool:
        """Whether it may be executed."""
        return self.verdict is not None and self.verdict.is_safe

    @property
    def cause(self) -> tuple[str, ...]:
        """What is wrong with it: equal for two attempts with the same violations, or the same complaint."""
        broken = self.verdict.violations if self.verdict is not None else ()
        return tuple(violation.rule for violation in broken) or (self.complaint,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback(Generic[A]):
    """What a proposer is told when it is asked again."""

    proposed: str
    """What it proposed last."""
    complaint: str
    """Why that is no action; empty if it is one."""
    why: Explanation | None
    """Why that action is not allowed, and the nearest one that is; None where it is no action."""
    allowed: tuple[A, ...] | None
    """The compliant actions, in the order of the list; None where they were not worked out."""

    @property
    def violations(self) -> tuple[Violation, ...]:
        """Every rule that it broke, with sentence, numbers and margin."""
        return () if self.why is None else self.why.verdict.violations

    @property
    def text(self) -> str:
        """All of it in a few lines, for a prompt."""
        lines = [self.complaint] if self.complaint else []
        if self.why is not None:
            lines += sentences(self.why)
        if self.allowed is not None:
            shown = "; ".join(action_text(action) for action in self.allowed[:MAX_SHOWN])
            more = f"; and {len(self.allowed) - MAX_SHOWN} more" if len(self.allowed) > MAX_SHOWN else ""
            lines.append(f"Allowed here: {shown or 'nothing'}{more}.")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded(Generic[A]):
    """One decision of a guard."""

    action: A
    """What to execute."""
    enforced: A
    """What enforcement executes; another action than `action` only in shadow mode."""
    rung: Rung
    """What gave the enforced action."""
    mode: Mode
    verdict: Verdict
    """On `action`."""
    attempts: tuple[Attempt[A], ...]
    faults: tuple[Fault, ...]
    reason: str
    """Why the climb went beyond asking, in a few fixed words; empty if it did not."""
    record: str
    """Canonical JSON, chained to the record before it; see `record.py`."""
    took_s: float
    """Seconds by the guard's clock; no part of the record."""

    @property
    def is_compliant(self) -> bool:
        """Whether the action to execute complies with all rules."""
        return self.verdict.is_safe
