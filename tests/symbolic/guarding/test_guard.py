"""The guard's laws: executed is what complies, or the safe stop; compliant actions are never touched; logs hold."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbolic import (
    UNKNOWN,
    Facts,
    Feedback,
    Guard,
    Guarded,
    Ladder,
    Mode,
    RuleSet,
    Rung,
    fields,
    once,
    rehearse,
    situations,
    violated,
)
from symbolic.guarding.record import audit
from tests.symbolic.strategies import ACTIONS, Operate, Plant, actions, exact_facts, open_facts, rule_sets

STOP = Operate(valve=0.0, mode="off", hold=True)
HOLD = Operate(valve=0.5, mode="fast", hold=True)
FAST = Operate(valve=0.5, mode="fast", hold=False)
SLOW = Operate(valve=0.0, mode="off", hold=False)
STATE: dict[str, Any] = {"level": 0.5, "rate": 0.3, "count": 2, "mode": "slow", "wanted": "fast", "alarm": False}
HERE = Facts.of(Plant, **STATE)
LADDER = Ladder(safe_stop=STOP)


def plant_rules() -> RuleSet[Plant, Operate]:
    """Fast is forbidden above level 0; so is holding where the count is 2."""
    s: Any = fields(Plant)
    a: Any = fields(Operate)
    rules = RuleSet(Plant, Operate)
    rules.add(kind="forbid", name="fast", priority=9, expression=(s.level > 0) & (a.mode == "fast"))
    rules.add(kind="forbid", name="hold", priority=8, expression=(s.count == 2) & a.hold)
    return rules


def guard(ladder: Ladder[Operate] = LADDER, **more: Any) -> Guard[Plant, Operate]:
    return Guard(plant_rules(), ladder, 5.0, **more)


def told(*proposals: Any) -> Any:
    """An async proposer that says these in turn, and keeps what it was told."""
    coming = iter(proposals)

    async def propose(facts: Facts, feedback: Feedback[Operate] | None) -> Any:
        propose.heard.append(feedback)  # type: ignore[attr-defined]
        return next(coming)

    propose.heard = []  # type: ignore[attr-defined]
    return propose


def acted(on: Guard[Plant, Operate], propose: Any, facts: Any = HERE) -> Guarded[Operate]:
    return asyncio.run(on.act(facts, propose))


def outline(done: Guarded[Operate]) -> tuple[Any, ...]:
    return done.action, done.rung, done.reason, done.is_compliant, done.faults


@pytest.mark.parametrize(
    "proposal", [SLOW, SLOW.model_dump(), SLOW.model_dump_json(), SLOW.model_dump_json().encode()], ids=repr
)
def test_compliant_proposal_in_any_shape_is_executed(proposal: Any) -> None:
    assert outline(acted(guard(), told(proposal))) == (SLOW, Rung.PROPOSED, "", True, ())


def test_plain_function_is_a_proposer_too() -> None:
    assert acted(guard(), lambda facts, feedback: SLOW).action == SLOW


def test_plain_function_that_gives_a_coroutine_is_awaited() -> None:
    propose = told(SLOW)
    assert acted(guard(), lambda facts, feedback: propose(facts, feedback)).action == SLOW


def test_violating_proposal_is_asked_again_with_sentence_numbers_and_what_is_allowed() -> None:
    propose = told(FAST, SLOW)
    assert outline(acted(guard(), propose)) == (SLOW, Rung.ASKED, "", True, ())
    first, second = propose.heard
    assert first is None
    assert second.allowed == tuple(one for one in ACTIONS if one.mode == "off" and not one.hold)
    assert second.text.splitlines()[:2] == [
        "R1: Forbidden when level > 0 and mode is fast. Here level is 0.5 and mode is fast. Broken: level > 0 by 0.5.",
        "The nearest allowed action has mode off instead of fast.",
    ]
    assert second.text.splitlines()[2].startswith("Allowed here: valve -0.5, mode off, hold false; valve 0, mode off, ")


def test_unreadable_proposal_is_asked_again_with_its_own_complaint() -> None:
    propose = told('{"valve":NaN}', SLOW)
    assert acted(guard(), propose).rung is Rung.ASKED
    assert "nan is no number" in propose.heard[1].text


def test_same_violation_twice_is_repaired_at_once() -> None:
    propose = told(FAST, replace_valve(FAST), SLOW)
    done = acted(guard(), propose)
    assert (done.rung, done.reason, len(done.attempts)) == (Rung.REPAIRED, "same violation again", 2)
    assert done.action == replace_valve(Operate(valve=0.0, mode="off", hold=False))


def replace_valve(action: Operate) -> Operate:
    return Operate(valve=-0.5, mode=action.mode, hold=action.hold)


def test_asks_are_counted() -> None:
    propose = told(FAST, HOLD, STOP, SLOW)
    done = acted(guard(Ladder(safe_stop=STOP, asks=2)), propose)
    assert (done.rung, done.reason, len(done.attempts)) == (Rung.REPAIRED, "asks used up", 3)


def test_witness_is_taken_where_nothing_is_repaired() -> None:
    ladder = Ladder(safe_stop=STOP, asks=0, repairs=False, witness=(FAST, SLOW))
    assert outline(acted(guard(ladder), told(HOLD))) == (SLOW, Rung.WITNESS, "asks used up", True, ())


def test_safe_stop_is_the_end_of_every_ladder() -> None:
    ladder = Ladder(safe_stop=STOP, asks=0, repairs=False)
    done = acted(guard(ladder), told(HOLD))
    assert (done.action, done.rung) == (STOP, Rung.SAFE_STOP)
    assert [violation.name for violation in done.verdict.violations] == ["hold"]


def test_shadow_executes_what_was_proposed_and_tells_what_would_have_been() -> None:
    propose = told(FAST, SLOW)
    done = acted(guard(mode=Mode.SHADOW), propose)
    assert (done.action, done.enforced, done.rung) == (FAST, Operate(valve=0.5, mode="off", hold=False), Rung.REPAIRED)
    assert (done.is_compliant, len(propose.heard)) == (False, 1)


@given(rule_sets(), exact_facts, st.lists(actions, min_size=1, max_size=4), st.integers(0, 2))
def test_executed_action_complies_or_nothing_does(
    rules: RuleSet[Plant, Operate], facts: Facts, proposals: list[Operate], asks: int
) -> None:
    on = Guard(rules, Ladder(safe_stop=STOP, asks=asks), 60.0)
    done = on.check(facts, *proposals)
    state = facts.state()
    safe = [one for one in ACTIONS if not any(violated(rule, state, one) for rule in rules.rules)]
    assert done.action in safe if safe else (done.action, done.rung) == (STOP, Rung.SAFE_STOP)
    if proposals[0] in safe:
        assert outline(done) == (proposals[0], Rung.PROPOSED, "", True, ())
    assert on.counts.interventions_on_compliant == 0


@given(rule_sets(), open_facts, actions)
def test_executed_action_on_open_facts_is_checked_or_the_safe_stop(
    rules: RuleSet[Plant, Operate], facts: Facts, proposal: Operate
) -> None:
    on = Guard(rules, Ladder(safe_stop=STOP), 60.0)
    done = on.check(facts, proposal)
    assert rules.check(facts, done.action).is_safe or (done.action, done.rung) == (STOP, Rung.SAFE_STOP)
    assert (done.action == proposal) or not rules.check(facts, proposal).is_safe
    assert on.counts.interventions_on_compliant == 0


@given(rule_sets(), exact_facts, actions)
def test_quick_way_says_what_the_climb_says(rules: RuleSet[Plant, Operate], facts: Facts, action: Operate) -> None:
    quick, slow = (Guard(rules, LADDER, 60.0) for _ in range(2))
    state, text = dict(facts.items()), action.model_dump_json()
    for _ in range(2):
        assert replace(quick.check(state, text), took_s=0.0) == replace(slow.check(facts, action), took_s=0.0)
    assert (quick.head, quick.counts) == (slow.head, slow.counts)


def log_of(*decisions: tuple[Any, ...], mode: Mode = Mode.ENFORCE) -> tuple[list[str], str]:
    """Records and head of a guard that was given these facts and proposals."""
    records: list[str] = []
    on = guard(mode=mode, write=records.append)
    for facts, *proposals in decisions:
        on.check(facts, *proposals)
    return records, on.head


DECISIONS: tuple[tuple[Any, ...], ...] = (
    (STATE, SLOW.model_dump_json()),
    (HERE, FAST, SLOW),
    (HERE, "no action", HOLD),
    ({**STATE, "level": 99}, SLOW),
    (HERE, FAST, FAST),
)


@pytest.mark.parametrize("mode", Mode)
def test_log_is_chained_and_its_certificates_hold(mode: Mode) -> None:
    records, head = log_of(*DECISIONS, mode=mode)
    assert list(audit(records, [plant_rules().to_json()], head=head)) == []
    assert max(len(record) for record in records) < 1500


def forgeries(records: list[str]) -> Iterator[list[str]]:
    yield records[1:]
    yield records[:2] + records[3:]
    yield records[:-1]
    yield [records[0], *records]
    yield [*records[:-1], records[-1].replace('"rung":"repaired"', '"rung":"proposed"')]
    yield [*records[:-1], records[-1].replace('"hold":false', '"hold":true')]


def test_changed_cut_or_reordered_log_is_found() -> None:
    records, head = log_of(*DECISIONS)
    for forged in forgeries(records):
        assert forged != records
        assert list(audit(forged, [plant_rules().to_json()], head=head)) != []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mode": "enforce"}, "executes another action than enforcement does"),
        ({"mode": "enforce", "enforced": FAST.model_dump()}, "not safe, on the rung repaired"),
        ({"rung": "proposed", "enforced": FAST.model_dump()}, "not safe, on the rung proposed"),
        ({"mode": "trust"}, "no record of a guard"),
        ({"rung": "higher"}, "no record of a guard"),
        ({"version": 2}, "no record of a guard"),
        ({"more": 1}, "no record of a guard"),
    ],
)
def test_record_that_contradicts_its_own_rung_or_mode_is_found(change: dict[str, Any], said: str) -> None:
    records, _ = log_of((STATE, FAST), mode=Mode.SHADOW)
    forged = json.dumps({**json.loads(records[0]), **change}, sort_keys=True, separators=(",", ":"))
    assert [said in problem.detail for problem in audit([forged], [plant_rules().to_json()])] == [True]


def test_guard_goes_on_with_the_log_that_it_is_given() -> None:
    records, head = log_of(*DECISIONS)
    later = guard(write=records.append, prev=head)
    later.check(STATE, SLOW)
    assert list(audit(records, [plant_rules().to_json()], head=later.head)) == []


def test_counts_tell_every_rung() -> None:
    on = guard()
    for facts, *proposals in DECISIONS:
        on.check(facts, *proposals)
    found = on.counts
    assert (found.decisions, found.first_try, found.asked, found.repaired, found.stopped) == (5, 1, 1, 2, 1)
    assert (found.asks, found.interventions_on_compliant) == (3, 0)


def test_dry_run_of_a_log_says_what_other_rules_would_have_done() -> None:
    records, _ = log_of(*DECISIONS)
    same = rehearse(plant_rules(), LADDER, situations(records, Plant))
    assert (same.changed, same.counts.decisions) == ((), 5)
    s: Any = fields(Plant)
    stricter = RuleSet(Plant, Operate)
    stricter.add(kind="forbid", name="valve", expression=(s.level > 0) & (fields(Operate).valve > -0.5))
    found = rehearse(stricter, LADDER, situations(records, Plant))
    assert [(place, done.rung) for place, done in found.changed] == [
        (0, Rung.REPAIRED),
        (1, Rung.REPAIRED),
        (2, Rung.REPAIRED),
        (4, Rung.REPAIRED),
    ]
    assert json.loads(found.changed[0][1].record)["mode"] == "dry-run"


def test_feedback_is_not_worked_out_where_facts_are_open() -> None:
    fog = Facts.of(Plant, **{**STATE, "rate": UNKNOWN})
    propose = told(FAST, SLOW)
    assert acted(guard(), propose, fog).rung is Rung.ASKED
    assert propose.heard[1].allowed is None


def test_memory_that_contradicts_what_is_perceived_ends_in_the_safe_stop() -> None:
    s: Any = fields(Plant)
    a: Any = fields(Operate)
    rules = RuleSet(Plant, Operate)
    rules.add(kind="forbid", name="after_alarm", expression=once(s.alarm, within_s=2) & (a.mode == "fast"))
    (memory,) = (one.name for one in rules.memory.operators)
    for is_alarm, rung in ((False, Rung.PROPOSED), (True, Rung.SAFE_STOP)):
        done = Guard(rules, LADDER, 5.0).check({**STATE, "alarm": is_alarm, memory: False}, FAST.model_dump_json())
        assert (done.rung, done.action) == (rung, FAST if rung is Rung.PROPOSED else STOP)
