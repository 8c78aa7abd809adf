"""What to give up where no action complies with all rules: the lexicographic best, and never a critical rule.

Of two actions the better one breaks fewer rules of the highest priority at which they differ. Verdicts stay the same:
an action that was conceded is unsafe, and the concession says which rules were given up, and why none could be kept.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from symbolic.domain import Action
from symbolic.facts import Facts
from symbolic.verdict import Verdict, check

if TYPE_CHECKING:
    from symbolic.rules import RuleSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Concession:
    """The least bad actions of a state in which no action is safe."""

    actions: tuple[Action, ...]
    """The best of the list, in its order; none of them breaks a critical rule."""
    verdicts: tuple[Verdict, ...]
    """On each of them: its violations are what was given up."""
    given_up: tuple[int, ...]
    """Priority of every rule that the best actions break, highest first."""
    reason: str
    """One line: for the first of the actions what is given up, and what keeping it would have broken."""


def concede(ruleset: RuleSet[Any, Any], facts: Facts) -> Concession | None:
    """The lexicographic best by priority.

    None where some action is safe, so that nothing need be given up, and where nothing may be: every action breaks a
    critical rule, or is undecided. Rules that open facts may break count as broken.
    """
    verdicts = [check(ruleset, facts, action) for action in ruleset.actions]
    if any(verdict.is_safe for verdict in verdicts):
        return None
    critical = {rule.anchor for rule in ruleset.rules if rule.is_critical}
    ranked = [
        (_cost(verdict), place)
        for place, verdict in enumerate(verdicts)
        if not verdict.undecided and not verdict.reason and not critical & {one.rule for one in verdict.violations}
    ]
    if not ranked:
        return None
    least = min(cost for cost, _ in ranked)
    best = [place for cost, place in ranked if cost == least]
    return Concession(
        actions=tuple(ruleset.actions[place] for place in best),
        verdicts=tuple(verdicts[place] for place in best),
        given_up=tuple(violation.priority for violation in verdicts[best[0]].violations),
        reason=_reason(verdicts, best[0]),
    )


def _cost(verdict: Verdict) -> tuple[int, ...]:
    """Number of broken rules of each priority from 100 down to 0."""
    counts = Counter(violation.priority for violation in verdict.violations)
    return tuple(counts[priority] for priority in range(100, -1, -1))


def _reason(verdicts: list[Verdict], best: int) -> str:
    """What the best action gives up, and the most important rule that each way to keep it would break."""
    given_up = [violation.rule for violation in verdicts[best].violations]
    keeping = [verdict for verdict in verdicts if given_up[0] not in {one.rule for one in verdict.violations}]
    price = sorted({verdict.violations[0].rule for verdict in keeping if verdict.violations})
    why = (
        f"every action that keeps {given_up[0]} breaks {' or '.join(price)}"
        if price
        else f"no action keeps {given_up[0]}"
    )
    return f"{', '.join(given_up)} given up: {why}"
