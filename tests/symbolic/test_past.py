"""Past-time operators: one tree in Python, text and JSON, and monitors that agree with the specification."""

from __future__ import annotations

import json
import math
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbolic import (
    UNKNOWN,
    Action,
    Answer,
    Facts,
    Monitor,
    MonitorError,
    Outcome,
    RuleError,
    RuleSet,
    Sort,
    State,
    all_of,
    any_of,
    fields,
    fixed,
    formatted,
    held_for,
    implies,
    load_rules,
    many,
    migrated,
    once,
    parse,
    remaining_s,
    to_text,
    verify,
)
from symbolic.certifying.certificate import totality_certificate, verdict_certificate
from symbolic.certifying.checker import RefusedError, Rules, check
from symbolic.expression import Expr
from symbolic.reading.reference import YES, truth
from symbolic.remembering.history import remembered
from tests.symbolic.past_sets import STEP, Gauge, Turn, conditions, histories, moments_of, rules_of, s


class Car(State):
    gap_m: float = fixed(ge=0, le=200, step=0.5)
    light: Literal["red", "amber", "green"]


class Drive(Action):
    manoeuvre: Literal["stop", "slow", "go"]


def junction() -> RuleSet[Car, Drive]:
    rules = RuleSet(Car, Drive)

    @rules.require(source="StVO 4")
    def hold_after_red(s: Car, a: Drive) -> bool:
        return implies(once(s.light == "red", within_s=2), a.manoeuvre != "go")

    return rules


RED, GREEN = (Facts.exact(Car(gap_m=9, light=light)) for light in ("red", "green"))
GO = Drive(manoeuvre="go")
TEXT = """state Car {
  gap_m: number 0 to 200 step 0.5
  light: red | amber | green
}

action Drive {
  manoeuvre: stop | slow | go
}

require hold_after_red source "StVO 4"
  that if once(light is red within 2 s) then manoeuvre is not go
"""


def test_hold_after_red_holds_for_its_window() -> None:
    rules = junction()
    monitor = rules.monitor(max_gap_s=0.5, begins_empty=True)
    outcomes = [rules.check(monitor.step(RED if t == 0 else GREEN, t / 2), GO).outcome for t in range(6)]
    assert outcomes == [Outcome.UNSAFE] * 5 + [Outcome.SAFE]


def test_text_python_and_json_give_one_tree() -> None:
    rules = junction()
    assert to_text(rules) == TEXT
    assert formatted(TEXT) == TEXT
    assert parse(TEXT).sha256 == parse(TEXT, place="x").sha256 == load_rules(rules.to_json()).sha256 == rules.sha256
    assert parse(TEXT).rules[0].sentence == rules.rules[0].sentence
    assert (
        rules.rules[0].sentence == "Required: if at any time in the last 2 s ( light is red ) then manoeuvre is not go."
    )


@given(conditions(3))
def test_tree_is_the_same_after_text_and_json(condition: Expr) -> None:
    rules = rules_of(condition)
    assert load_rules(rules.to_json()).sha256 == rules.sha256
    assert parse(to_text(rules)).sha256 == rules.sha256


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("once(manoeuvre is go within 2 s)", ":1:15: expected a condition over what is perceived in `once`"),
        ("prev(light is red within 2 s)", ":1:15: expected no time in `prev`"),
        ("held_for(light is red)", ":1:15: expected for how long in `held_for`"),
        ("since(light is red)", ":1:15: expected 2 conditions in `since`"),
        ("once(light is red for 0 s)", ":1:15: expected a time above 0 s"),
        ("remaining_s(light is red, gap_m > 3 within 3 s) < 1", ":1:15: expected `remaining_s(trigger, done within"),
        ("remaining_s(light is red, gap_m > 3 within 3 s step 0.7 s) < 1", ":1:15: expected whole steps"),
        ("once(gap_m)", ":1:20: expected a condition, got a number"),
    ],
)
def test_mistakes_in_text_are_told_with_their_place(condition: str, said: str) -> None:
    with pytest.raises(RuleError) as error:
        parse(f"forbid x when {condition} and manoeuvre is go", state=Car, action=Drive)
    assert f"rules{said}" in str(error.value)


@given(conditions(3), histories, st.booleans(), st.integers(1, 4))
def test_monitor_gives_what_the_specification_says(
    condition: Expr, history: list[tuple[int, Any]], begins_empty: bool, max_gap: int
) -> None:
    rules, past = rules_of(condition), moments_of(history)
    monitor = rules.monitor(max_gap_s=max_gap / 2, begins_empty=begins_empty)
    for end, (time, facts) in enumerate(past, start=1):
        expected = remembered(rules.memory, past[:end], max_gap=max_gap * STEP, begins_empty=begins_empty)
        assert monitor.step(facts, time / 1e6).codes == expected.codes


@given(conditions(2), histories)
def test_what_is_remembered_keeps_the_assumption(condition: Expr, history: list[tuple[int, Any]]) -> None:
    rules = rules_of(condition)
    monitor = rules.monitor(max_gap_s=10, begins_empty=True)
    for time, facts in moments_of(history):
        given_ = monitor.step(facts, time / 1e6)
        if given_.is_exact and rules.assumption is not None:
            assert truth(rules.assumption, given_) is YES


@given(conditions(2), histories, st.integers(0, 13))
def test_restored_monitor_goes_on_as_if_never_stopped(
    condition: Expr, history: list[tuple[int, Any]], cut: int
) -> None:
    rules, past = rules_of(condition), moments_of(history)
    one = other = rules.monitor(max_gap_s=1)
    for place, (time, facts) in enumerate(past):
        if place == cut:
            text = one.snapshot()
            other = Monitor.restored(rules.memory, text)
            assert other.snapshot() == text
        found = one.step(facts, time / 1e6)
        assert other is one or other.step(facts, time / 1e6) == found
    assert one.snapshot() == other.snapshot()


def test_unknown_memory_counts_as_violated_before_the_first_window_is_over() -> None:
    rules = junction()
    monitor = rules.monitor(max_gap_s=0.5)
    verdicts = [rules.check(monitor.step(GREEN, t / 2), GO) for t in range(6)]
    assert [verdict.outcome for verdict in verdicts] == [Outcome.UNSAFE] * 5 + [Outcome.SAFE]


def test_unknown_memory_breaks_a_critical_rule() -> None:
    rules: RuleSet[Gauge, Turn] = RuleSet(Gauge, Turn)

    @rules.require(is_critical=True)
    def wait(s: Gauge, a: Turn) -> bool:
        return implies(a.valve == "open", held_for(s.alarm == False, 1))  # noqa: E712 - a term

    monitor = rules.monitor(max_gap_s=1, begins_empty=True)
    monitor.step(Facts.of(Gauge, level=0.0, alarm=UNKNOWN, mode="off"), 0)
    verdict = rules.check(monitor.step(Facts.of(Gauge, level=0.0, alarm=False, mode="off"), 1), Turn(valve="open"))
    assert [violation.name for violation in verdict.violations] == ["wait"]


def test_gap_makes_what_lies_in_it_unknown() -> None:
    rules = junction()
    monitor = rules.monitor(max_gap_s=0.5, begins_empty=True)
    assert rules.check(monitor.step(GREEN, 0), GO).is_safe
    assert rules.check(monitor.step(GREEN, 0.5), GO).is_safe
    assert not rules.check(monitor.step(GREEN, 1.5), GO).is_safe


def test_facts_without_memory_are_undecided() -> None:
    verdict = junction().check(GREEN, GO)
    assert (verdict.outcome, "CarRemembering" in verdict.reason) == (Outcome.UNDECIDED, True)


@pytest.mark.parametrize("t_s", [0.5, 0.9, math.nan, math.inf, -1, True, 1e30])
def test_time_that_does_not_go_on_is_refused_and_changes_nothing(t_s: float) -> None:
    monitor = junction().monitor(max_gap_s=0.5)
    monitor.step(RED, 1)
    before = monitor.snapshot()
    with pytest.raises(MonitorError):
        monitor.step(GREEN, t_s)
    assert monitor.snapshot() == before


def test_same_moment_again_gives_the_same_and_other_facts_are_refused() -> None:
    monitor = junction().monitor(max_gap_s=0.5)
    assert monitor.step(RED, 1) == monitor.step(RED, 1)
    with pytest.raises(MonitorError):
        monitor.step(GREEN, 1)
    with pytest.raises(MonitorError):
        monitor.step(Facts.from_codes(Car, (1000, 0)), 2)


def test_migrated_monitor_keeps_shared_operators_and_starts_new_ones_unknown() -> None:
    rules, other = junction(), junction()
    other.add(kind="forbid", name="wait", expression=(rules_of_new() & other_go()))
    monitor = rules.monitor(max_gap_s=5, begins_empty=True)
    monitor.step(RED, 0)
    moved = migrated(other.memory, monitor.snapshot()).step(GREEN, 5)
    names = [one.name for one in other.memory.operators]
    assert {name: moved.value(name) for name in names} == {
        next(one for one in names if one.startswith("once")): False,
        next(one for one in names if one.startswith("held")): UNKNOWN,
    }


def rules_of_new() -> Any:

    car: Any = fields(Car)
    return held_for(car.light == "green", 1)


def other_go() -> Any:

    drive: Any = fields(Drive)
    return drive.manoeuvre == "go"


@pytest.mark.parametrize(
    "change", [{"last": {"codes": 5, "time": 1}}, {"last": {"codes": [], "time": 2**70}}, {"max_gap": 10**400}]
)
def test_snapshot_with_a_part_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    rules = junction()
    text = json.dumps(json.loads(rules.monitor(max_gap_s=1.0).snapshot()) | change)
    with pytest.raises(MonitorError, match="expected a snapshot"):
        migrated(rules.memory, text)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version":2}', "null"])
def test_text_that_is_no_snapshot_is_refused(text: str) -> None:
    with pytest.raises(MonitorError):
        migrated(junction().memory, text)


def test_deadline_counts_down_and_is_missed() -> None:
    rules: RuleSet[Gauge, Turn] = RuleSet(Gauge, Turn)

    @rules.require()
    def act(s: Gauge, a: Turn) -> bool:
        return implies(remaining_s(s.alarm == True, s.mode == "off", within_s=2, step_s=0.5) <= 0.5, a.valve == "open")  # noqa: E712

    monitor = rules.monitor(max_gap_s=1, begins_empty=True)
    alarm = Facts.of(Gauge, level=0.0, alarm=True, mode="fast")
    name = rules.memory.operators[0].name
    left = [monitor.step(alarm, t).value(name) for t in (0, 0.7, 1.5, 2, 2.1, 3)]
    assert left == [2, 1, 0.5, 0, -0.5, -0.5]
    assert monitor.step(Facts.of(Gauge, level=0.0, alarm=True, mode="off"), 4).value(name) == 2


def test_names_of_operators_are_not_taken_for_fields() -> None:
    assert s.alarm is not None
    text = TEXT.replace("gap_m:", "once:").replace("within 2 s)", "within 2 s) and once > 3")
    assert parse(text).rules[0].reads[1].field.name == "once"


# Proofs and certificates


def locked(*, holds: bool) -> RuleSet[Gauge, Turn]:
    """No action where the alarm rings but did not ring within 2 s, which is nowhere; or where it rang and does not."""
    rules: RuleSet[Gauge, Turn] = RuleSet(Gauge, Turn)
    s, a = fields(Gauge), fields(Turn)
    rang = once(s.alarm, within_s=2)
    where = s.alarm & ~rang if holds else ~s.alarm & rang
    for word in ("shut", "open"):
        rules.add(kind="require", name=word, expression=implies(where, a.valve == word))
    return rules


def test_totality_leaves_out_states_that_contradict_what_is_perceived() -> None:
    report = verify(locked(holds=True))
    assert (report.total, report.num_points) == (Answer.YES, 2 * 3)


def test_counterexample_to_totality_comes_with_a_history() -> None:
    report = verify(locked(holds=False))
    finding = next(one for one in report.findings if one.sort is Sort.NOT_TOTAL)
    assert report.total is Answer.NO
    assert finding.text.endswith("; a history of 2 moments leads to such a state")


def test_counterexample_that_no_history_reaches_is_told_as_such() -> None:
    rules: RuleSet[Gauge, Turn] = RuleSet(Gauge, Turn)
    s, a = fields(Gauge), fields(Turn)
    odd = once(s.alarm, within_s=1) & ~once(s.alarm, within_s=2)  # never, but the proof does not know it
    rules.add(kind="require", name="shut", expression=implies(odd, a.valve == "shut"))
    rules.add(kind="require", name="open", expression=implies(odd, a.valve == "open"))
    finding = next(one for one in verify(rules).findings if one.sort is Sort.NOT_TOTAL)
    assert "no history of 40 moments was found" in finding.text


def test_memory_is_not_told_as_unused_or_alien() -> None:
    rules: RuleSet[Gauge, Turn] = RuleSet(Gauge, Turn)
    s, a = fields(Gauge), fields(Turn)
    shut = implies(once(s.alarm, within_s=2), a.valve == "shut")
    rules.add(kind="require", name="shut", title="shut 2 s after the alarm", expression=shut)
    told = {(one.sort, one.text) for one in verify(rules).findings}
    assert told == {(Sort.UNUSED_FIELD, "no rule reads `level`"), (Sort.UNUSED_FIELD, "no rule reads `mode`")}


@given(conditions(3), histories)
def test_verdicts_on_what_is_remembered_are_certified_and_forgeries_refused(
    condition: Expr, history: list[tuple[int, Any]]
) -> None:
    rules = rules_of(condition)
    monitor = rules.monitor(max_gap_s=1)
    known = Rules(rules.to_json())
    for time, facts in moments_of(history):
        seen, action = monitor.step(facts, time / 1e6), Turn(valve="open")
        verdict = rules.check(seen, action)
        text = verdict_certificate(rules, seen, verdict)
        assert check(text, known) == "verdict"
        forged = json.loads(text)
        forged["violated"], forged["outcome"] = ([], "safe") if verdict.violations else (["R1"], "unsafe")
        with pytest.raises(RefusedError):
            check(json.dumps(forged, sort_keys=True, separators=(",", ":")), known)


def test_totality_over_memory_is_certified_where_it_needs_no_assumption() -> None:
    junction_ = junction()
    assert check(totality_certificate(junction_, [Drive(manoeuvre="stop")]), junction_.to_json()) == "totality"
    rules = locked(holds=True)
    with pytest.raises(RefusedError):
        check(totality_certificate(rules, rules.actions), rules.to_json())


class Other(State):
    gap_m: float = fixed(ge=0, le=50, step=0.5)


class Alone(State):
    speed: float | None = fixed(ge=0, le=40, step=0.5)
    others: tuple[Other, ...] = many(Other, at_most=1)


class Pair(State):
    speed: float | None = fixed(ge=0, le=40, step=0.5)
    others: tuple[Other, ...] = many(Other, at_most=2)


@pytest.mark.parametrize("state", [Alone, Pair])
def test_whole_quantifiers_are_remembered_and_certified(state: Any) -> None:
    rules: RuleSet[Any, Drive] = RuleSet(state, Drive)

    @rules.require()
    def rest(s: Any, a: Drive) -> bool:
        near = any_of(s.others, lambda o: o.gap_m < 5)
        return implies(once(near, within_s=2) & held_for(s.speed > 3, 1), a.manoeuvre != "go")

    assert parse(to_text(rules)).sha256 == load_rules(rules.to_json()).sha256 == rules.sha256
    monitor = rules.monitor(max_gap_s=1, begins_empty=True)
    seen = [state(speed=5, others=(Other(gap_m=3),)), state(speed=5, others=()), state(speed=None, others=())]
    for time, one in enumerate(seen):
        facts = monitor.step(Facts.exact(one), time)
        text = verdict_certificate(rules, facts, rules.check(facts, GO))
        assert check(text, rules.to_json()) == "verdict"
        assert rules.check(facts, GO).is_safe is (time == 0)


def test_neighbour_in_a_place_is_not_remembered() -> None:
    rules = RuleSet(Pair, Drive)
    with pytest.raises(RuleError):
        rules.forbid(id="bad")(lambda s, a: all_of(s.others, lambda o: once(o.gap_m < 5)) & (a.manoeuvre == "go"))


class Traffic(Car):
    emergency: bool


def test_hold_after_red_stands_beside_the_rules_of_the_design() -> None:
    rules = RuleSet(Traffic, Drive)

    @rules.permit(priority=95, source="StVO 38")
    def emergency(s: Traffic, a: Drive) -> bool:
        return s.emergency

    @rules.forbid(priority=90, source="StVO 37", unless=[emergency])
    def enter_on_red(s: Traffic, a: Drive) -> bool:
        "Never enter the junction on red."
        return (s.light == "red") & (a.manoeuvre == "go")

    @rules.require(source="StVO 4")
    def hold_after_red(s: Traffic, a: Drive) -> bool:
        return implies(once(s.light == "red", within_s=2), a.manoeuvre != "go")

    monitor = rules.monitor(max_gap_s=1, begins_empty=True)
    red = monitor.step(Facts.exact(Traffic(gap_m=9, light="red", emergency=False)), 0)
    assert [one.name for one in rules.check(red, GO).violations] == ["enter_on_red", "hold_after_red"]
    green = monitor.step(Facts.exact(Traffic(gap_m=9, light="green", emergency=True)), 1)
    assert [one.name for one in rules.check(green, GO).violations] == ["hold_after_red"]
    assert verify(rules, safe_stop=Drive(manoeuvre="stop")).total is Answer.YES


def test_deadline_that_cannot_be_kept_shows_as_a_trap() -> None:
    rules: RuleSet[Gauge, Turn] = RuleSet(Gauge, Turn)

    @rules.require(priority=80)
    def answer(s: Gauge, a: Turn) -> bool:
        return implies(remaining_s(s.alarm, s.mode == "off", within_s=2, step_s=0.5) <= 0.5, a.valve == "open")

    @rules.forbid(priority=40)
    def while_fast(s: Gauge, a: Turn) -> bool:
        return (s.mode == "fast") & (a.valve == "open")

    finding = next(one for one in verify(rules).findings if one.sort is Sort.NOT_TOTAL)
    state = dict(finding.state)
    left = next(float(value) for name, value in state.items() if name.startswith("remaining_s"))
    assert (state["mode"], left <= 0.5) == ("fast", True)
    assert finding.text.endswith("; a history of 4 moments leads to such a state")


@pytest.mark.parametrize("is_open", [False, True])
def test_memory_that_contradicts_the_present_decides_nothing(*, is_open: bool) -> None:
    rules = junction()
    (memory,) = (one.name for one in rules.memory.operators)
    known: dict[str, Any] = {"gap_m": UNKNOWN if is_open else 3.0, "light": "red", memory: False}
    facts = Facts.of(rules.state, **known)
    verdict = rules.check(facts, rules.actions[0])
    assert verdict.outcome is Outcome.UNDECIDED
    assert "facts that contradict" in verdict.reason
    assert not any(rules.compliant(facts))
    assert any(rules.compliant(Facts.of(rules.state, **{**known, "light": "green"})))
