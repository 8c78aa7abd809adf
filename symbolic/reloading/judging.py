"""Whether a proposed rule set may become live: read, proved and compared on a worker, never on the way of a check."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from symbolic.declaration import RuleError
from symbolic.domain import Action
from symbolic.proving.report import Report, Sort
from symbolic.proving.verify import verify
from symbolic.reloading.diff import diff
from symbolic.reloading.difference import Difference, Relation

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

MAX_CHARS: Final = 4_000_000
"""A longer proposal is refused before it is read."""


class Cause(StrEnum):
    """Why a rule set does not become live."""

    TOO_LARGE = "too-large"
    UNREADABLE = "unreadable"
    """Not the canonical JSON of a rule set over the types of the live one, or without a rule."""
    REFUTED = "refuted"
    """The load-time report has an error: inconsistent, not total, a tie, a broken safe stop, a fault."""
    UNPROVED = "unproved"
    """Something could not be shown, which strict mode does not accept."""
    UNCHANGED = "unchanged"
    """It is the live version."""
    STALE = "stale"
    """It was judged beside another version than the live one."""
    WITHDRAWN = "withdrawn"
    """Checked beside the live version, it differed too often."""
    NOT_KNOWN = "not-known"
    """No version of that hash was accepted or live here."""
    WORKER_FAILED = "worker-failed"
    """The worker that proves it died or failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """Why a rule set does not become live, in one line."""

    cause: Cause
    text: str
    sort: Sort | None = None
    """What kind of finding refuted it or was left open, where one did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is known of a proposed rule set; live versions stay live whatever it says."""

    sha256: str
    """Hash of the proposed text."""
    base: str
    """Hash of the live set that it was compared with."""
    rejection: Rejection | None
    """None: it may become live."""
    report: Report | None = None
    """The load-time report, where it came so far."""
    difference: Difference | None = None
    """What it changes, where it came so far."""

    @property
    def is_accepted(self) -> bool:
        """Whether it may become live."""
        return self.rejection is None


Judge: TypeAlias = "Callable[[str, RuleSet[Any, Any], Action | None, bool], Judgement]"
"""Judges a text beside the live rules: text, live rules, safe stop, whether strict. `judge` has this shape."""


def sha256_of(text: str) -> str:
    """The name of a rule set: the hash of its canonical JSON."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def judge(text: str, live: RuleSet[Any, Any], safe_stop: Action | None, is_strict: bool) -> Judgement:
    """Read, prove and compare a proposed rule set.

    Args:
        text: its canonical JSON.
        live: the rules in use, whose types it must have.
        safe_stop: the declared safe stop, which must keep critical rules; None: there is none.
        is_strict: whether what cannot be shown is refused.
    """
    found = Judgement(sha256=sha256_of(text), base=live.sha256, rejection=None)
    try:
        rules = read(text, live)
    except RuleError as error:
        cause = Cause.TOO_LARGE if len(text) > MAX_CHARS else Cause.UNREADABLE
        return _rejected(found, Rejection(cause=cause, text=str(error)))
    report = verify(rules, safe_stop=safe_stop)
    difference = diff(live, rules)
    rejection = objection(report, difference, is_strict=is_strict)
    return Judgement(sha256=found.sha256, base=found.base, rejection=rejection, report=report, difference=difference)


def read(text: str, live: RuleSet[Any, Any]) -> RuleSet[Any, Any]:
    """A proposed rule set over the types of the live one.

    Raises:
        RuleError: too long, other text, other types, another spelling, no rule, rules that do not fit together.
    """
    if len(text) > MAX_CHARS:
        raise RuleError(f"expected at most {MAX_CHARS} characters of rules, got {len(text)}; split the set")
    rules = type(live).from_json(text, live.declared_state, live.action)
    if not rules.rules:
        raise RuleError("expected at least one rule, got none; an empty set decides nothing")
    if rules.to_json() != text:
        raise RuleError("expected canonical JSON, got another spelling of the rules; give the text of to_json")
    return rules


def objection(report: Report, difference: Difference, *, is_strict: bool) -> Rejection | None:
    """What stands against a set that was proved and compared; None if nothing does."""
    for error in report.errors:
        return Rejection(cause=Cause.REFUTED, text=error.text, sort=error.sort)
    if difference.faults:
        return Rejection(cause=Cause.REFUTED, text=difference.faults[0], sort=Sort.FAULT)
    if is_strict:
        for unknown in report.unknowns:
            return Rejection(cause=Cause.UNPROVED, text=unknown.text, sort=unknown.sort)
        if difference.relation is Relation.UNKNOWN:
            return Rejection(cause=Cause.UNPROVED, text="not known what the change forbids and allows")
    return None


def _rejected(found: Judgement, rejection: Rejection) -> Judgement:
    return Judgement(sha256=found.sha256, base=found.base, rejection=rejection)
