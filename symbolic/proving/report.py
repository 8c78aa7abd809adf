"""What is found when a rule set is loaded: values, and their JSON. `verify.py` fills them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Answer(StrEnum):
    """What is known of a question."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Level(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    """The set must not run: it is inconsistent, not total, tied, its safe stop breaks a critical rule, or a message
    of someone whom a rule does not trust allows what that rule forbids without it."""
    WARNING = "warning"
    """A rule or field that does nothing, or only at the edge of a range."""
    UNKNOWN = "unknown"
    """Neither shown nor refuted; refused in strict mode."""


class Sort(StrEnum):
    """What can be found."""

    INCONSISTENT = "inconsistent"
    """No action is safe in any state."""
    NOT_TOTAL = "not-total"
    """In some state no action is safe."""
    TIE = "tie"
    """Two rules of one priority that cannot both be kept in some state, though each can."""
    CONFLICT = "conflict"
    """The same, where one ranks higher."""
    SAFE_STOP = "safe-stop"
    """The safe stop breaks a rule; an error where the rule is critical."""
    CLAIM = "claim"
    """A message allows what a rule forbids without it."""
    VACUOUS = "vacuous"
    """A rule that applies in no state."""
    NEVER_BINDING = "never-binding"
    """A rule that applies in some state, but that no action breaks there."""
    DEAD = "dead"
    """A rule that exceptions or overrides take out of force wherever it applies."""
    SHADOWED = "shadowed"
    """One other rule forbids all that it forbids."""
    REDUNDANT = "redundant"
    """Several other rules together forbid all that it forbids."""
    EDGE_ONLY = "edge-only"
    """A rule that is broken only where a number stands at an end of its range."""
    UNUSED_FIELD = "unused-field"
    TITLE = "title"
    """A title or source that names a field or number which the condition does not hold."""
    NO_JOINT_ACTION = "no-joint-action"
    """Agents that cannot keep their joint rules together."""
    STUCK = "stuck"
    """Agents that commit in turn, of which the last finds no action."""
    TRAP = "trap"
    """States in which some action is safe, and which lead to one without whatever is done."""
    FAULT = "fault"
    """An answer of the solver that did not survive: a mistake of ours or of the solver."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to look at."""

    sort: Sort
    level: Level
    rules: tuple[str, ...]
    """Anchors of the rules that it is about, most important first."""
    text: str
    """One line."""
    state: tuple[tuple[str, str], ...] = ()
    """Field -> text of its value in a state that shows it; empty where no state does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What the claims of one role may allow."""

    role: str
    rules: tuple[str, ...]
    """Anchors of the rules that trust it and read a claim of it."""
    fields: tuple[str, ...]
    """Those claims."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that was found about a rule set."""

    ruleset_sha256: str
    num_rules: int
    consistent: Answer
    """Whether some action is safe in some state."""
    total: Answer
    """Whether in every state of the declared domain some action is safe."""
    witnesses: tuple[tuple[tuple[str, str], ...], ...]
    """Where it is total: actions of which in every state one is safe."""
    trusts: tuple[Trust, ...] = ()
    """Whose claims may allow what rules forbid without them, by role; nobody else's can."""
    findings: tuple[Finding, ...]
    num_queries: int
    """Questions to the solver."""
    num_kept: int
    """Questions that an earlier report had answered."""
    num_points: int
    """Points (state, action) that were tried before anything was asked."""
    denials: dict[str, int]
    """How often it was answered that there is no point: `enumerated` where every point was tried, `sampled` where the
    solver says so and none of many points is one, `proved` where the solver alone says so."""

    @property
    def is_complete(self) -> bool:
        """Whether for each question that was answered with "there is no such point" every point was tried."""
        return set(self.denials) <= {"enumerated"}

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that forbid to run the set."""
        return tuple(one for one in self.findings if one.level is Level.ERROR)

    @property
    def unknowns(self) -> tuple[Finding, ...]:
        """What could not be shown."""
        return tuple(one for one in self.findings if one.level is Level.UNKNOWN)

    def record(self) -> dict[str, Any]:
        """The report as plain data, format `localist-verification` version 2."""
        return {"format": "localist-verification", "schema_version": 2, **asdict(self)}
