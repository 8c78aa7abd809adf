"""Which rules leave no action: a minimal set of them, and for each action the one that forbids it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from symbolic.domain import Action
from symbolic.facts import Facts
from symbolic.reading.compiled import Codes
from symbolic.verdict import check

if TYPE_CHECKING:
    from symbolic.rules import RuleSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Rules that together forbid every action; without any one of them some action would be left."""

    rules: tuple[str, ...]
    """Their anchors, most important first."""
    forbidden: tuple[tuple[Action, str], ...]
    """Every action with the most important of these rules that forbids it."""


def conflict(ruleset: RuleSet[Any, Any], facts: Facts) -> Conflict | None:
    """A minimal conflict; None where some action complies, or may comply as far as is known.

    No solver is needed: in these facts it is known of every action which rules it breaks. Rules are left out, the least
    important first, while every action still breaks one; so what is left is minimal, and of the important rules.
    """
    broken = _broken(ruleset, facts)
    if not broken or not all(broken):
        return None
    core = _minimal(broken, len(ruleset.rules))
    anchors = [rule.anchor for rule in ruleset.rules]
    return Conflict(
        rules=tuple(anchors[place] for place in core),
        forbidden=tuple(
            (action, anchors[next(place for place in core if place in places)])
            for action, places in zip(ruleset.actions, broken, strict=True)
        ),
    )


def _broken(ruleset: RuleSet[Any, Any], facts: Facts) -> list[frozenset[int]]:
    """For each action the places of the rules that it breaks; none where that is not known."""
    if facts.is_exact and facts.schema is ruleset.state:
        codes: Codes = tuple(code for code in facts.codes if isinstance(code, int))
        return [frozenset(ruleset.compiled(codes, ruleset.codes_of(action))) for action in ruleset.actions]
    places = {rule.anchor: place for place, rule in enumerate(ruleset.rules)}
    return [
        frozenset(places[one.rule] for one in check(ruleset, facts, action).violations) for action in ruleset.actions
    ]


def _minimal(broken: Sequence[frozenset[int]], count: int) -> list[int]:
    """Rules that are needed so that every action breaks one, most important first."""
    core = set(range(count)).intersection(frozenset().union(*broken))
    held = [len(places) for places in broken]
    for place in sorted(core, reverse=True):
        by_it = [index for index, places in enumerate(broken) if place in places]
        if all(held[index] > 1 for index in by_it):
            core.remove(place)
            for index in by_it:
                held[index] -= 1
    return sorted(core)
