"""What is declared of one rule, before the others are known: kind, rank, condition, and which rules it yields to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from symbolic.expression import Expr, Not

RuleKind: TypeAlias = Literal["forbid", "require", "permit"]
DEFAULT_PRIORITY: Final = 50


class RuleError(ValueError):
    """A rule that cannot be read, with its place: one line, with what to correct."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """One rule as it was written."""

    kind: RuleKind
    """`permit` forbids nothing: it takes the rules that name it, or that it overrides, out of force where it holds."""
    name: str
    title: str
    """What people call it."""
    priority: int
    """0 to 100, the more important the higher."""
    source: str
    """Where it comes from, such as a paragraph of law; may be empty."""
    expression: Expr
    """What is forbidden, required or permitted, exceptions left out."""
    unless: tuple[str, ...] = ()
    """Names of the permits that are exceptions to it, sorted."""
    overrides: tuple[str, ...] = ()
    """Names of the rules that are out of force where this one is in force, sorted."""
    is_critical: bool = False
    """Whether it is never given up, not even where no action complies with all rules."""
    trusts: tuple[str, ...] = ()
    """Roles whose claims may allow what would be forbidden without them, sorted."""

    @property
    def violation(self) -> Expr:
        """What breaks it, exceptions left out; of a permit what it permits, since nothing can break that."""
        return opposite(self.expression) if self.kind == "require" else self.expression

    def record(self) -> dict[str, object]:
        """What canonical JSON says besides the expression; what is as by default is left out."""
        plain: dict[str, object] = {
            "kind": self.kind,
            "name": self.name,
            "priority": self.priority,
            "source": self.source,
            "title": self.title,
        }
        if self.unless:
            plain["unless"] = list(self.unless)
        if self.overrides:
            plain["overrides"] = list(self.overrides)
        if self.is_critical:
            plain["is_critical"] = True
        if self.trusts:
            plain["trusts"] = list(self.trusts)
        return plain


def opposite(expr: Expr) -> Expr:
    """The condition that holds where the other does not."""
    return expr.arg if isinstance(expr, Not) else Not(expr)
