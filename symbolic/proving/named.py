"""A rule set by its hash, as the key of what is kept about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from symbolic.rules import RuleSet


class Named:
    """A rule set that equals others with its hash: what was found of one is not looked for again."""

    def __init__(self, ruleset: RuleSet[Any, Any]) -> None:
        self.ruleset = ruleset

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Named) and other.ruleset.sha256 == self.ruleset.sha256

    def __hash__(self) -> int:
        return hash(self.ruleset.sha256)
