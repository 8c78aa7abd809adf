"""Rule: one forbid or require in its place in a set, with what every check and prompt needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from symbolic.declaration import Declaration, opposite
from symbolic.domain import Action
from symbolic.expression import Expr, Read, reads
from symbolic.reading.sentence import sentence

if TYPE_CHECKING:
    from symbolic.reading.grounding import Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One forbid or require, in its place in the order of its set."""

    anchor: str
    """`R1`, `R2`, ...: place in the order of priority."""
    declared: Declaration
    """As it was written."""
    expression: Expr
    """What is forbidden, or what is required, with all exceptions in it: a plain tree."""
    shown: Expr
    """The same as people read it: with whatever was declared that is more than the plain tree."""
    violation: Expr = field(init=False)
    """True where the rule is broken."""
    reads: tuple[Read, ...] = field(init=False, repr=False)
    """The fields that it reads."""
    sentence: str = field(init=False, repr=False)
    """One English sentence."""
    grounded: list[tuple[Sequence[Action], tuple[Line, ...]]] = field(default_factory=list, repr=False, compare=False)
    """Cache of `grounding.lines`."""

    def __post_init__(self) -> None:
        """Derive what every check and prompt needs."""
        put = object.__setattr__
        put(self, "violation", opposite(self.expression) if self.kind == "require" else self.expression)
        put(self, "reads", reads(self.expression))
        put(self, "sentence", sentence(self))

    @property
    def kind(self) -> Literal["forbid", "require"]:
        return "require" if self.declared.kind == "require" else "forbid"

    @property
    def name(self) -> str:
        return self.declared.name

    @property
    def title(self) -> str:
        """What people call it: the first line of the docstring."""
        return self.declared.title

    @property
    def priority(self) -> int:
        """0 to 100, the more important the higher."""
        return self.declared.priority

    @property
    def source(self) -> str:
        """Where it comes from, such as a paragraph of law; may be empty."""
        return self.declared.source

    @property
    def is_critical(self) -> bool:
        """Whether it is never given up."""
        return self.declared.is_critical
