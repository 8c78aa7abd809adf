"""The nearest safe action, proved nearest by looking at every action of the list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from symbolic.domain import Action, codes_of
from symbolic.facts import Facts
from symbolic.mending.metric import Metric, MetricError

if TYPE_CHECKING:
    from symbolic.rules import RuleSet


def distance(left: Action, right: Action) -> int:
    """Steps between two actions: the sum over fields of the difference of codes (grid steps, or places in a choice)."""
    return sum(abs(one - other) for one, other in zip(codes_of(left), codes_of(right), strict=True))


def nearest(ruleset: RuleSet[Any, Any], facts: Facts, action: Action, metric: Metric | None = None) -> Action | None:
    """The safe action with the least distance to a wanted one, the first in order of labels among equals.

    None where no action of the list is safe, so that the caller must stop. Distances are steps if no metric is given.
    """
    if type(action) is not ruleset.action:
        raise TypeError(
            f"expected an action of `{ruleset.action.__name__}`, got `{type(action).__name__}`; parse it first"
        )
    metric = metric or Metric.steps(ruleset.action)
    if metric.schema is not ruleset.action:
        raise MetricError(
            f"expected a metric of `{ruleset.action.__name__}`, got one of `{metric.schema.__name__}`; declare its own"
        )
    wanted = ruleset.codes_of(action)
    safe = [other for other, is_safe in zip(ruleset.actions, ruleset.compliant(facts), strict=True) if is_safe]
    return min(safe, key=lambda other: metric.away(wanted, ruleset.codes_of(other)), default=None)
