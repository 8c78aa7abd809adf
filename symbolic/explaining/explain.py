"""Why this action is judged so, and what would have to differ: read `explain`.

why = explain(rules, facts, action)
why.verdict.violations, why.nearest, why.state, why.conflict
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from symbolic.domain import Action, domain_of, is_wide
from symbolic.explaining.conflict import conflict
from symbolic.explaining.explanation import ActionFix, Change, Explanation, StateFix
from symbolic.explaining.nearby import Nearest, nearest_state, nearest_value, shares
from symbolic.expression import Owner
from symbolic.facts import Facts
from symbolic.field import FieldSpec
from symbolic.mending.concession import concede
from symbolic.mending.metric import Metric
from symbolic.verdict import Outcome, Verdict

if TYPE_CHECKING:
    from symbolic.rules import RuleSet


def explain(
    ruleset: RuleSet[Any, Any],
    facts: Facts,
    action: Action,
    *,
    metric: Metric | None = None,
    states: Metric | None = None,
    is_state_asked: bool = True,
) -> Explanation:
    """Why an action is judged as it is; of one that complies only its verdict.

    Args:
        ruleset: the rules.
        facts: what is perceived.
        action: the action asked about, proposed or not.
        metric: how far apart actions are; by steps if None.
        states: how far apart states are; by `shares` if None.
        is_state_asked: False leaves out which state would allow the action, which takes much longer than the rest.
    """
    verdict = ruleset.check(facts, action)
    if verdict.outcome is not Outcome.UNSAFE:  # whoever asks about facts that cannot be read gets the reason
        return Explanation(verdict=verdict)
    nearest = _nearest(ruleset, facts, action, metric or Metric.steps(ruleset.action))
    by_field: tuple[StateFix, ...] = ()
    state = None
    if is_state_asked:
        by_field, state = _states(ruleset, facts, action, verdict, states or shares(ruleset.state))
    is_stuck = nearest is None and not is_wide(ruleset.action)  # of actions that are not listed nobody can say so
    return Explanation(
        verdict=verdict,
        nearest=nearest,
        by_field=by_field,
        state=state,
        conflict=conflict(ruleset, facts) if is_stuck else None,
        concession=concede(ruleset, facts) if is_stuck else None,
    )


def _nearest(ruleset: RuleSet[Any, Any], facts: Facts, action: Action, metric: Metric) -> ActionFix | None:
    found = ruleset.nearest(facts, action, metric)
    if found is None:
        return None
    now, then = ruleset.codes_of(action), ruleset.codes_of(found)
    changes = tuple(
        Change(field=one.name, now=one.show(now[one.index]), then=one.show(then[one.index]))
        for one in domain_of(ruleset.action).fields
        if now[one.index] != then[one.index]
    )
    return ActionFix(action=found, changes=changes, distance=Fraction(metric.away(now, then), metric.scale))


def _states(
    ruleset: RuleSet[Any, Any], facts: Facts, action: Action, verdict: Verdict, metric: Metric
) -> tuple[tuple[StateFix, ...], StateFix]:
    """The smallest changes of single fields, the smallest first, and of all together."""
    codes = ruleset.codes_of(action)
    single = [_fix(nearest_value(ruleset, facts, codes, metric, one), facts) for one in _candidates(ruleset, verdict)]
    found = sorted((fix for fix in single if fix.facts is not None), key=lambda fix: fix.distance)
    state = _fix(nearest_state(ruleset, facts, codes, metric), facts)
    if found and state.facts is None:  # the budget was used up: the best that is known, and not called smallest
        state = replace(found[0], is_smallest=False)
    return tuple(found), state


def _candidates(ruleset: RuleSet[Any, Any], verdict: Verdict) -> list[FieldSpec]:
    """Fields of the state that every violated rule reads: a change of any other leaves some rule broken."""
    broken = {one.rule for one in verdict.violations}
    read = [
        {one.field.index for one in rule.reads if one.owner is Owner.STATE}
        for rule in ruleset.rules
        if rule.anchor in broken
    ]
    common = set.intersection(*read)
    return [one for one in domain_of(ruleset.state).fields if one.index in common]


def _fix(found: Nearest, facts: Facts) -> StateFix:
    return StateFix(
        facts=found.facts,
        changes=() if found.facts is None else _changed(facts, found.facts),
        distance=found.distance,
        is_smallest=found.is_proved,
    )


def _changed(now: Facts, then: Facts) -> tuple[Change, ...]:
    """The fields of which something else would have to be perceived, or more be known."""
    return tuple(
        Change(field=one.name, now=now.show(one), then=then.show(one))
        for one in domain_of(now.schema).fields
        if now.show(one) != then.show(one)
    )
