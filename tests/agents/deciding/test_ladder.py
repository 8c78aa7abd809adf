from __future__ import annotations

from dataclasses import replace

import pytest

from agents.deciding import Decision, Detail, Message, Resting, Style
from agents.recording.events import Rung
from localist_core import CoreError, Dial, DialSchedule, Request
from symbolic import Outcome
from tests.agents.deciding.junction import GO, SLOW, STOP, Asked, by_turns, rules_named, seen, settle, situation

RED = seen(light="red")
WET = seen(gap_m=15.0, is_wet=True)
HEDGING = {GO: 0.6, SLOW: 0.3, STOP: 0.1}


def shape(decision: Decision) -> tuple[Rung, int, int, str]:
    """Rung, action, attempts and reason."""
    return decision.rung, decision.action, len(decision.attempts), decision.reason


def test_safe_first_proposal_is_executed() -> None:
    assert shape(settle(situation(seen()), Asked(by_turns(GO)))) == (Rung.PROPOSED, 2, 1, "")


def test_violated_rule_is_injected_and_the_core_asked_again() -> None:
    ask = Asked(by_turns(GO, SLOW))
    decision = settle(situation(RED), ask)
    assert shape(decision) == (Rung.INJECTED, 1, 2, "")
    assert decision.verdict.is_safe
    assert [request.prompt.names("injection") for request in ask.requests] == [(), ("I1",)]
    assert ask.requests[1].prompt["I1"].text == "if F3 is V1 yes : not A3 R2 ; with F3 V1"


def test_all_violated_rules_are_injected_at_once() -> None:
    ask = Asked(by_turns(GO, STOP))
    settle(situation(seen(light="red", gap_m=5.0, is_wet=True)), ask)
    texts = [ask.requests[1].prompt[name].text for name in ("I1", "I2", "I3")]
    assert [rules_named(text) for text in texts] == [{"R2"}, {"R3"}, {"R4"}]


def test_same_rule_broken_by_another_action_is_injected_for_it_too() -> None:
    ask = Asked(by_turns(GO, SLOW, STOP))
    assert shape(settle(situation(WET), ask)) == (Rung.INJECTED, 0, 3, "")
    assert ask.requests[2].prompt.names("injection") == ("I1", "I2")


def test_same_violation_again_ends_the_asking_before_the_budget() -> None:
    decision = settle(situation(RED), Asked(by_turns(HEDGING)), asks=9)
    assert shape(decision) == (Rung.CHOSEN, 1, 2, "same violation again")


def test_older_violation_again_ends_the_asking_too() -> None:
    decision = settle(situation(WET), Asked(by_turns(GO, SLOW, GO)), asks=9)
    assert shape(decision) == (Rung.CHOSEN, 0, 3, "same violation again")


def test_budget_of_asks_is_kept() -> None:
    decision = settle(situation(WET), Asked(by_turns(GO, {SLOW: 0.8, GO: 0.2})), asks=1)
    assert shape(decision) == (Rung.CHOSEN, 0, 2, "asks used up")


def test_without_asks_the_first_distribution_chooses() -> None:
    ask = Asked(by_turns(HEDGING))
    assert shape(settle(situation(RED), ask, asks=0)) == (Rung.CHOSEN, 1, 1, "asks used up")
    assert not ask.requests[0].prompt.names("injection")


def test_of_equally_probable_compliant_actions_the_first_is_chosen() -> None:
    assert settle(situation(RED), Asked(by_turns({GO: 0.6, SLOW: 0.2, STOP: 0.2})), asks=0).action == 0


def test_without_choosing_the_nearest_compliant_action_is_taken() -> None:
    decision = settle(situation(RED), Asked(by_turns({GO: 0.6, STOP: 0.4})), chooses=False)
    assert shape(decision) == (Rung.REPAIRED, 1, 2, "same violation again")


def test_safe_stop_where_nothing_complies() -> None:
    decision = settle(situation(seen(is_blocked=True)), Asked(by_turns(GO)))
    assert shape(decision) == (Rung.SAFE_STOP, 0, 2, "same violation again")
    assert decision.verdict.outcome is Outcome.UNSAFE


def test_without_binding_the_first_proposal_is_executed_with_its_verdict() -> None:
    decision = settle(situation(RED), Asked(by_turns(GO)), binds=False)
    assert shape(decision) == (Rung.PROPOSED, 2, 1, "")
    assert [violation.name for violation in decision.verdict.violations] == ["red"]


def test_dial_rises_with_the_violations_up_to_its_top() -> None:
    ask = Asked(by_turns(GO, SLOW, STOP))
    settle(situation(WET, schedule=DialSchedule(start=0.1, step=0.25, top=0.4)), ask)
    assert [request.dial.value for request in ask.requests] == [0.1, 0.35, 0.4]


def test_without_dial_it_stays_at_zero_and_targets_are_still_measured() -> None:
    ask = Asked(by_turns(GO, SLOW, STOP))
    settle(situation(WET), ask, dials=False)
    assert {request.dial.value for request in ask.requests} == {0.0}
    assert all(request.dial.targets for request in ask.requests)


@pytest.mark.parametrize(
    ("resting", "after"),
    [
        (Resting.TRUSTED, {"role", "goal", "observation", "R1", "R2", "R3", "R4", "I1"}),
        (Resting.APPLYING, {"role", "goal", "observation", "R2", "I1"}),
        (Resting.RESTATED, {"observation", "R2", "I1"}),
    ],
)
def test_injection_joins_the_targets_that_the_ladder_asks_for(resting: Resting, after: set[str]) -> None:
    ask = Asked(by_turns(GO, STOP))
    settle(situation(RED), ask, resting=resting)
    first = after - {"I1"} if resting is Resting.APPLYING else {"role", "goal", "observation", "R1", "R2", "R3", "R4"}
    assert [request.dial.targets for request in ask.requests] == [first, after]


def test_without_rulebook_only_the_injection_tells_the_rule() -> None:
    ask = Asked(by_turns(GO, STOP))
    settle(situation(RED), ask, style=Style(has_rulebook=False))
    assert ask.requests[1].prompt.names("rulebook") == ()
    assert ask.requests[1].dial.targets == {"role", "goal", "observation", "I1"}


def test_evidence_is_asked_for_only_after_injections() -> None:
    ask = Asked(by_turns(GO, STOP))
    settle(situation(RED), ask, lambda request, block: 0.0)
    assert [request.evidence for request in ask.requests] == [False, True]


def test_evidence_is_not_asked_of_a_core_that_cannot_trace() -> None:
    ask = Asked(by_turns(GO, STOP))
    settle(situation(RED), ask)
    assert [request.evidence for request in ask.requests] == [False, False]


def test_knock_out_measures_each_injection_at_dial_zero() -> None:
    cut: list[tuple[str, Dial, bool]] = []

    def knock_out(request: Request, block: str) -> float:
        cut.append((block, request.dial, request.evidence))
        return -1.23456789

    decision = settle(situation(RED), Asked(by_turns(GO, STOP)), knock_out)
    assert cut == [("I1", Dial.off(), False)]
    assert [dict(attempt.knock_out_nats) for attempt in decision.attempts] == [{}, {"I1": -1.234568}]


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), CoreError("expected a free core, got a busy one")])
def test_failing_knock_out_costs_the_evidence_and_not_the_decision(value: float | CoreError) -> None:
    def knock_out(request: Request, block: str) -> float:
        if isinstance(value, CoreError):
            raise value
        return value

    decision = settle(situation(RED), Asked(by_turns(GO, STOP)), knock_out)
    assert shape(decision) == (Rung.INJECTED, 0, 2, "")
    assert dict(decision.attempts[1].knock_out_nats) == {}
    assert [fault.fault for fault in decision.faults] == ["core-failed"]


@pytest.mark.parametrize(
    ("detail", "told"), [(Detail.RANGE, "A1 A2"), (Detail.NEAREST, "A2"), (Detail.WRONG_RANGE, "A3")]
)
def test_range_tells_the_compliant_actions_nearest_one_and_the_wrong_range_the_others(
    detail: Detail, told: str
) -> None:
    ask = Asked(by_turns(GO, STOP))
    settle(situation(RED), ask, style=Style(detail=detail))
    assert ask.requests[1].prompt["I1"].text.partition("allowed ")[2] == told


def test_decision_rests_on_the_messages_read_and_the_claims_among_the_facts() -> None:
    said = (Message(sender="car-2", text="hello", envelope="car-2.0.1"), Message(sender="car-3", text="unsent"))
    here = situation(seen(), messages=said, claims=("car-2.0.0", "car-2.0.1"))
    assert settle(here, Asked(by_turns(GO))).parents == ("car-2.0.0", "car-2.0.1")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"goal": (2, 1)}, "expected a goal that names each of 3 actions once"),
        ({"goal": (2, 1, 1)}, "expected a goal that names each of 3 actions once"),
        ({"goal": (1, 2, 3)}, "expected a goal that names each of 3 actions once"),
        ({"safe_stop": 3}, "expected a safe stop among 3 actions"),
        ({"safe_stop": -1}, "expected a safe stop among 3 actions"),
    ],
)
def test_situation_with_wishes_that_are_no_actions_cannot_be_built(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        replace(situation(seen()), **changes)  # type: ignore[arg-type]
