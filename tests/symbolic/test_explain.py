"""Explanations: minimal by brute force, and what they say."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

from hypothesis import given, settings

from symbolic import (
    UNKNOWN,
    Change,
    Facts,
    Interval,
    Metric,
    Outcome,
    RuleSet,
    State,
    codes_of,
    concede,
    domain_of,
    explain,
    explanation_sentences,
    explanation_text,
    fields,
    fixed,
    known,
    once,
)
from symbolic.explaining.conflict import conflict
from symbolic.explaining.nearby import nearest_state, nearest_value, shares
from symbolic.field import FieldSpec
from tests.symbolic.strategies import ACTIONS, Operate, Plant, actions, every_state, exact_facts, open_facts, rule_sets

s: Any = fields(Plant)
a: Any = fields(Operate)
STAY = Operate(valve=0.0, mode="off", hold=True)
HERE = Facts.of(Plant, level=0.5, rate=0.3, count=2, mode="slow", wanted="fast", alarm=False)
FIELDS = domain_of(Plant).fields
METRIC = shares(Plant)


def exactly(facts: Facts) -> tuple[int, ...]:
    return tuple(code for code in facts.codes if isinstance(code, int))


EVERYWHERE = [exactly(one) for one in every_state(Facts.from_codes(Plant, (None,) * 6))]


def span(field: FieldSpec) -> range:
    return range(field.low, field.high + 1)


def are_safe(rules: RuleSet[Plant, Operate], facts: Facts, action: Operate) -> bool:
    """Whether an action is safe in all states that the facts allow."""
    return not any(rules.compiled(exactly(one), codes_of(action)) for one in every_state(facts))


def put(state: tuple[Any, ...], field: FieldSpec, code: int) -> tuple[Any, ...]:
    return (*state[: field.index], code, *state[field.index + 1 :])


def away(facts: Facts, state: tuple[int, ...]) -> int:
    """Distance of a state from the nearest of all that the facts allow: fields add up, so each for itself."""
    spans = [(field, facts.span(field)) for field in FIELDS]
    return sum(
        min(METRIC.away(put(state, field, code), state) for code in range(low, high + 1))
        for field, (low, high) in spans
    )


@settings(max_examples=15)
@given(rule_sets(), exact_facts, actions)
def test_nearest_state_is_the_first_of_the_nearest_by_brute_force(
    rules: RuleSet[Plant, Operate], facts: Facts, action: Operate
) -> None:
    done = codes_of(action)
    found = nearest_state(rules, facts, done, METRIC)
    safe = ((METRIC.away(exactly(facts), one), one) for one in EVERYWHERE if not rules.compiled(one, done))
    distance, best = min(safe, default=(0, None))
    assert found.is_proved
    assert (found.facts and found.facts.codes, found.distance) == (best, Fraction(distance, METRIC.scale))


@settings(max_examples=30)
@given(rule_sets(), exact_facts, actions)
def test_nearest_value_of_each_field_is_the_first_by_brute_force(
    rules: RuleSet[Plant, Operate], facts: Facts, action: Operate
) -> None:
    here, done = exactly(facts), codes_of(action)
    for field in FIELDS:
        others = [put(here, field, code) for code in span(field)]
        safe = ((METRIC.away(here, one), one) for one in others if not rules.compiled(one, done))
        found = nearest_value(rules, facts, done, METRIC, field)
        assert found.is_proved
        assert (found.facts and found.facts.codes) == min(safe, default=(0, None))[1]


@settings(max_examples=15)
@given(rule_sets(most=2), open_facts, actions)
def test_state_found_for_open_facts_is_safe_as_open_as_it_is_and_no_nearer_one_is(
    rules: RuleSet[Plant, Operate], facts: Facts, action: Operate
) -> None:
    found = nearest_state(rules, facts, codes_of(action), METRIC)
    safe = [one for one in EVERYWHERE if not rules.compiled(one, codes_of(action))]
    assert found.is_proved
    assert (found.facts is None) is (not safe)
    if found.facts is not None:
        assert are_safe(rules, found.facts, action)
        assert found.distance == Fraction(min(away(facts, one) for one in safe), METRIC.scale)


@settings(max_examples=20)
@given(rule_sets(most=2), open_facts, actions)
def test_value_found_for_open_facts_is_safe_and_the_nearest_where_that_is_proved(
    rules: RuleSet[Plant, Operate], facts: Facts, action: Operate
) -> None:
    for field in FIELDS:
        known = {code: Facts.from_codes(Plant, put(facts.codes, field, code)) for code in span(field)}
        safe = [code for code, one in known.items() if are_safe(rules, one, action)]
        found = nearest_value(rules, facts, codes_of(action), METRIC, field)
        if found.facts is None:
            assert not (safe and found.is_proved)
            continue
        assert are_safe(rules, found.facts, action)
        blank = tuple(facts.span(one)[0] for one in FIELDS)
        least = min(away(facts, put(blank, field, code)) for code in safe)
        assert found.distance == Fraction(least, METRIC.scale) or not found.is_proved


@settings(max_examples=60)
@given(rule_sets(), exact_facts)
def test_conflict_is_minimal_and_names_a_broken_rule_for_each_action(
    rules: RuleSet[Plant, Operate], facts: Facts
) -> None:
    broken = {action: {one.rule for one in rules.check(facts, action).violations} for action in ACTIONS}
    found = conflict(rules, facts)
    assert (found is None) is (not all(broken.values()))
    if found is None:
        return
    core = set(found.rules)
    assert all(broken[action] & core for action in ACTIONS)
    for one in core:
        assert not all(broken[action] & (core - {one}) for action in ACTIONS)
    order = [rule.anchor for rule in rules.rules]
    assert list(found.rules) == sorted(core, key=order.index)
    assert found.forbidden == tuple((action, min(broken[action] & core, key=order.index)) for action in ACTIONS)


@settings(max_examples=40)
@given(rule_sets(), exact_facts, actions)
def test_explanation_holds_what_each_part_finds(rules: RuleSet[Plant, Operate], facts: Facts, action: Operate) -> None:
    why = explain(rules, facts, action)
    assert why.verdict == rules.check(facts, action)
    if why.verdict.is_safe:
        assert (why.nearest, why.by_field, why.state, why.conflict, why.concession) == (None, (), None, None, None)
        return
    nearest = rules.nearest(facts, action)
    assert (why.nearest and why.nearest.action) == nearest
    assert why.conflict == conflict(rules, facts)
    assert why.concession == concede(rules, facts)
    assert why.state is not None
    for fix in (*why.by_field, why.state):
        if fix.facts is not None:
            assert rules.check(fix.facts, action).is_safe
            assert fix.changes
    distances = [fix.distance for fix in why.by_field]
    assert distances == sorted(distances)
    assert all(len(fix.changes) == 1 and fix.distance >= why.state.distance for fix in why.by_field)


def two_rules() -> RuleSet[Plant, Operate]:
    rules = RuleSet(Plant, Operate)
    rules.add(kind="forbid", name="hold", priority=90, expression=(s.level < 1.5) & ~a.hold)
    rules.add(kind="forbid", name="valve", priority=40, expression=(s.count >= s.level) & (a.valve < 0.5))
    return rules


def test_explanation_names_the_smallest_changes_of_action_and_state() -> None:
    why = explain(two_rules(), HERE, Operate(valve=0.0, mode="off", hold=False))
    assert why.nearest is not None
    assert why.nearest.changes == (
        Change(field="valve", now="0", then="0.5"),
        Change(field="hold", now="false", then="true"),
    )
    assert [fix.changes for fix in why.by_field] == []
    assert why.state is not None
    assert (why.state.changes, why.state.is_smallest) == (
        (Change(field="level", now="0.5", then="1.5"), Change(field="count", now="2", then="1")),
        True,
    )


def test_undecided_verdict_is_explained_by_its_reason_alone() -> None:
    why = explain(two_rules(), Facts.from_codes(Plant, (99, 0, 0, 0, 0, 0)), STAY)
    assert (why.verdict.outcome, why.nearest, why.state) == (Outcome.UNDECIDED, None, None)
    assert "expected codes within their fields" in why.verdict.reason


class Wide(State):
    x: float = fixed(ge=0, le=2000, step=0.001)
    y: float = fixed(ge=0, le=2000, step=0.001)


def test_wide_domains_are_searched_without_trying_every_state() -> None:
    w: Any = fields(Wide)
    rules = RuleSet(Wide, Operate)
    rules.add(kind="forbid", name="sum", expression=(w.x + w.y * 2 < 1000) & a.hold)
    why = explain(rules, Facts.of(Wide, x=100, y=100), STAY)
    assert [fix.changes for fix in why.by_field] == [
        (Change(field="y", now="100", then="450"),),
        (Change(field="x", now="100", then="800"),),
    ]
    assert why.state is not None
    assert (why.state.changes, why.state.is_smallest) == (why.by_field[0].changes, True)


def test_search_that_uses_up_its_budget_says_that_nothing_is_proved() -> None:
    w: Any = fields(Wide)
    rules = RuleSet(Wide, Operate)
    rules.add(kind="require", name="never", expression=(w.x * 7 - w.y * 7 == 0.5) | ~a.hold)
    why = explain(rules, Facts.of(Wide, x=100, y=100), STAY)
    assert why.state is not None
    assert (why.state.facts, why.state.is_smallest) == (None, False)


def test_explanation_in_words_is_made_of_rules_facts_and_actions_alone() -> None:
    rules = two_rules()
    rules.add(kind="forbid", name="low", title="Ignore all rules.", priority=10, expression=s.rate < a.valve)
    foggy = Facts.of(Plant, level=Interval(0, 1), rate=0.3, count=2, mode="slow", wanted="fast", alarm=False)
    assert explanation_sentences(explain(rules, foggy, Operate(valve=0.5, mode="off", hold=False))) == (
        "R1: Forbidden when level < 1.5 and not hold. Here level is 0 to 1 and hold is false. "
        "Broken where level is 0: level < 1.5 by 1.5.",
        "R3: Forbidden when rate < valve. Here rate is 0.3 and valve is 0.5. "
        "Broken where rate is 0.3: rate < valve by 0.2.",
        "No action is allowed: R2 and R3 together forbid every one.",
        "The least is given up with valve 0.5, mode off, hold true: "
        "R3 given up: every action that keeps R3 breaks R1 or R2.",
        "This action would be allowed with level 1.5 instead of 0 to 1 and rate 0.6 instead of 0.3.",
    )


def test_text_for_people_says_what_leaves_no_action() -> None:
    rules = RuleSet(Plant, Operate)
    rules.add(
        kind="forbid",
        name="hold",
        title="Hold when low.",
        source="p 3",
        priority=90,
        expression=(s.level < 1.5) & ~a.hold,
    )
    rules.add(kind="forbid", name="let", priority=40, expression=(s.count >= s.level) & a.hold)
    assert explanation_text(explain(rules, HERE, STAY)).splitlines()[:6] == [
        "valve 0, mode off, hold true is not allowed.",
        "- R2: Forbidden when count >= level and hold. Here count is 2, level is 0.5 and hold is true. "
        "Broken: count >= level by 1.5. It is called: let.",
        "- No action is allowed: R1 and R2 together forbid every one.",
        "- The least is given up with valve -0.5, mode off, hold true: "
        "R2 given up: every action that keeps R2 breaks R1.",
        "- This action would be allowed with count 0 instead of 2.",
        "- valve -0.5, mode off, hold false: R1 forbids it.",
    ]
    assert explanation_text(explain(rules, HERE, Operate(valve=0.0, mode="off", hold=False))).splitlines()[1] == (
        "- R1: Forbidden when level < 1.5 and not hold. Here level is 0.5 and hold is false. "
        "Broken: level < 1.5 by 1. It is called: Hold when low (p 3)."
    )


def test_action_that_no_state_allows_is_said_to_be_such() -> None:
    rules = RuleSet(Plant, Operate)
    rules.add(kind="forbid", name="never", expression=(s.level >= -1) & a.hold)
    why = explain(rules, HERE, STAY)
    assert explanation_sentences(why)[-1] == "This action is not allowed in any state."


def test_explanation_as_json_is_canonical_and_names_its_version() -> None:
    why = explain(two_rules(), HERE, Operate(valve=0.0, mode="off", hold=False))
    record = json.loads(why.to_json())
    assert json.dumps(record, sort_keys=True, separators=(",", ":")) == why.to_json()
    assert (record["format"], record["schema_version"]) == ("localist-explanation", 1)
    assert record["nearest"]["changes"] == [["valve", "0", "0.5"], ["hold", "false", "true"]]
    assert [one["margin"] for one in record["verdict"]["violations"]] == [["level < 1.5", "1"], ["valve < 0.5", "0.5"]]


class Optional(State):
    gap_m: float | None = fixed(ge=0, le=50, step=0.5)
    speed: float = fixed(ge=0, le=40, step=0.5)


def test_optional_field_that_would_have_to_be_known_is_given_a_value() -> None:
    o: Any = fields(Optional)
    rules = RuleSet(Optional, Operate)
    rules.add(kind="require", name="sight", expression=(known(o.gap_m) & (o.gap_m >= 12)) | (o.speed < 5) | ~a.hold)
    unseen = Facts.of(Optional, gap_m=UNKNOWN, speed=30)
    why = explain(rules, unseen, STAY, states=Metric.of(Optional, gap_m=1, gap_m_known=1, speed=100))
    assert why.state is not None
    assert why.state.facts is not None
    assert dict(why.state.facts.items()) == {"gap_m": 12.0, "gap_m_known": True, "speed": 30.0}
    assert Facts.from_json(why.state.facts.to_json(), Optional) == why.state.facts


def test_what_is_remembered_does_not_contradict_the_present_in_the_state_that_is_found() -> None:
    rules = RuleSet(Plant, Operate)
    rules.add(kind="forbid", name="calm", expression=once(s.alarm, within_s=2) & a.hold)
    now = rules.monitor(max_gap_s=1.0).step(Facts.of(Plant, **{**dict(HERE.items()), "alarm": True}), 0.0)
    why = explain(rules, now, STAY)
    assert why.state is not None
    assert [change.now for change in why.state.changes] == ["true", "true"], "the alarm, and the memory of it"
    assert why.by_field == (), "neither can change alone"
