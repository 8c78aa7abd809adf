"""The nearest safe action, proved nearest by looking at every action of the list."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, cast

from symbolic.domain import Action, action_of, codes_of, domain_of, is_wide
from symbolic.expression import Owner
from symbolic.facts import Facts
from symbolic.mending.metric import Metric, demand_metric
from symbolic.reading.compiled import Codes
from symbolic.reading.enumeration import MAX_STATES
from symbolic.solving.smt import default_solver
from symbolic.solving.worker import SolverError

if TYPE_CHECKING:
    from symbolic.rules import RuleSet


MAX_ROUNDS: Final = 16
"""States that the solver's proposals are tried in, one after the other, before nothing is given."""


def distance(left: Action, right: Action) -> int:
    """Steps between two actions: the sum over fields of the difference of codes (grid steps, or places in a choice)."""
    return sum(abs(one - other) for one, other in zip(codes_of(left), codes_of(right), strict=True))


def nearest(ruleset: RuleSet[Any, Any], facts: Facts, action: Action, metric: Metric | None = None) -> Action | None:
    """The safe action with the least distance to a wanted one, the first in order of labels among equals.

    None where no action is safe, or where the solver cannot tell, so that the caller must stop. An action of which open
    facts leave undecided whether it is safe counts as not. Distances are steps if no metric is given. Where actions can
    be listed the nearer ones are all looked at, else the solver proves that none of them is safe; either way `check`
    has the last word on the answer.
    """
    metric = demand_metric(ruleset.action, action, metric)
    if type(facts) is not Facts or facts.schema is not ruleset.state:
        return None
    if is_wide(ruleset.action):
        return nearest_unlisted(ruleset, facts, action, metric)
    left = possible(ruleset, facts)
    for ring in metric.rings(ruleset.codes_of(action)):
        while near := ring & left:
            place = (near & -near).bit_length() - 1  # the first in order of labels
            # INVARIANT: an action is given only if `check` says that it is safe; `possible` but leaves out.
            other: Action = ruleset.actions[place]
            if ruleset.check(facts, other).is_safe:
                return other
            left ^= 1 << place
    return None


def nearest_unlisted(ruleset: RuleSet[Any, Any], facts: Facts, action: Action, metric: Metric) -> Action | None:
    """The same by the solver, for one state after another of those that the facts allow.

    An action that is nearest among those that comply in some of the states, and complies in all, is nearest; where it
    does not, a state that shows it is put to the others (counterexample-guided, at most `MAX_ROUNDS` times).
    """
    if ruleset.check(facts, action).is_safe:
        return action
    solver = default_solver()
    try:
        tried = list(itertools.islice(states(ruleset, facts), 1))
        for _ in range(MAX_ROUNDS):
            codes = solver.nearest(ruleset, tried, codes_of(action), metric)
            if not codes or any(ruleset.compiled(state, codes) for state in tried):
                return None
            found: Action = action_of(ruleset.action, codes)
            verdict = ruleset.check(facts, found)
            if verdict.is_safe:
                return found
            shown = [one.counterexample for one in verdict.violations if one.counterexample is not None]
            if not shown:
                return None
            tried.append(shown[0].codes)
    except (SolverError, ValueError, TypeError, IndexError):  # no answer, or facts that cannot be read
        pass
    return None


def possible(ruleset: RuleSet[Any, Any], facts: Facts) -> int:
    """Bits of the actions that break no rule in any of the states that are tried: on exact facts, the safe ones.

    Of open facts the states are all that they allow, where they are few, else the corners; an action that breaks a rule
    in one of them is not safe. None where the facts cannot be read: of such facts `check` says that nothing is safe.
    """
    left = (1 << len(ruleset.actions)) - 1
    try:
        for state in [cast(Codes, facts.codes)] if facts.is_exact else states(ruleset, facts):
            left &= ~ruleset.broken(state)
    except Exception:  # noqa: BLE001 - the decision: whatever goes wrong, no action is safe
        return 0
    return left


def states(ruleset: RuleSet[Any, Any], facts: Facts) -> Iterator[Codes]:
    """At most `MAX_STATES` states that facts allow: all, up to fields that no rule reads, or the ends of ranges."""
    read = {one.field.index for rule in ruleset.rules for one in rule.reads if one.owner is Owner.STATE}
    spans = [facts.span(field) for field in domain_of(ruleset.state).fields]
    spans = [(low, high if place in read else low) for place, (low, high) in enumerate(spans)]
    is_few = math.prod(high - low + 1 for low, high in spans) <= MAX_STATES
    values = [range(low, high + 1) if is_few else sorted({low, high}) for low, high in spans]
    return itertools.islice(itertools.product(*values), MAX_STATES)
