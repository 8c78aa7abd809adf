"""What one rule set allows that another does not: values, and their JSON. `diff.py` fills them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from symbolic.proving.report import Answer

Shown: TypeAlias = tuple[tuple[str, str], ...]
"""Names of fields with the text of their values."""


class Relation(StrEnum):
    """How a new rule set stands to an old one, in what it allows."""

    EQUAL = "equal"
    STRICTER = "stricter"
    """It forbids more, and allows nothing new."""
    LOOSER = "looser"
    """It allows more, and forbids nothing new."""
    INCOMPARABLE = "incomparable"
    """It forbids something that was allowed, and allows something that was forbidden."""
    UNKNOWN = "unknown"
    """One of the two directions could not be decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A state and an action that one set allows and the other forbids; both sets were asked."""

    state: Shown
    action: Shown
    rules: tuple[str, ...]
    """Names of the rules that forbid it, most important first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One direction: whether anything becomes forbidden, or whether anything becomes allowed."""

    answer: Answer
    example: Example | None = None
    """Where the answer is yes."""
    rules: tuple[str, ...] = ()
    """Names of the rules by which it does: each forbids some point that the other set allows."""
    unknown: tuple[str, ...] = ()
    """Names of rules of which that could not be told."""


class Change(StrEnum):
    """What was done to a rule."""

    ADDED = "added"
    REMOVED = "removed"
    RENAMED = "renamed"
    RERANKED = "re-ranked"
    """Another priority."""
    CHANGED = "changed"
    """Another condition, kind, exception, override, weight, title or source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One thing that was done to a rule, whether or not it changes what is allowed."""

    change: Change
    rule: str
    """Its name, the new one where it has two."""
    parts: tuple[str, ...] = ()
    """What is different of a changed rule, such as `expression`."""
    was: str = ""
    """The same as text: the old name, priority or parts; empty for an added rule."""
    now: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What a new rule set changes."""

    old_sha256: str
    new_sha256: str
    forbidden: Side
    """What the old set allows and the new one forbids."""
    allowed: Side
    """What the old set forbids and the new one allows."""
    edits: tuple[Edit, ...]
    faults: tuple[str, ...]
    """Answers of the solver that did not survive: a mistake of ours or of the solver."""
    num_queries: int
    """Questions to the solver."""
    num_points: int
    """Points (state, action) at which both sets were compared."""
    is_complete: bool
    """Whether these are all points there are, up to fields that no rule reads."""

    @property
    def relation(self) -> Relation:
        """How the new set stands to the old one."""
        match self.forbidden.answer, self.allowed.answer:
            case Answer.NO, Answer.NO:
                return Relation.EQUAL
            case Answer.YES, Answer.NO:
                return Relation.STRICTER
            case Answer.NO, Answer.YES:
                return Relation.LOOSER
            case Answer.YES, Answer.YES:
                return Relation.INCOMPARABLE
            case _:
                return Relation.UNKNOWN

    def record(self) -> dict[str, Any]:
        """The difference as plain data, format `localist-rules-diff` version 1."""
        return {
            "format": "localist-rules-diff",
            "schema_version": 1,
            "relation": self.relation.value,
            **asdict(self),
        }
