"""Nothing that is missing, late, unknown or broken ends in an action that was not checked: each row is one fault."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from agents.deciding import Ask, KnockOut, Ladder, decide
from agents.recording.events import FaultKind, Rung
from localist_core import Choice, CoreError, OverloadError, Request
from symbolic import MAYBE, UNKNOWN, Action, Facts, Outcome, RuleSet, State, Truth, whole
from tests.agents.deciding.junction import (
    GO,
    SLOW,
    STOP,
    Asked,
    Car,
    Drive,
    Rules,
    answering,
    by_turns,
    declare,
    seen,
    settle,
    situation,
)

NAN = float("nan")
CODES = seen().codes


class Boat(State):
    depth_m: int = whole(ge=0, le=9)


def coded(*codes: Any, age_s: float = 0.0) -> Facts:
    """Facts that no world of ours makes: whatever codes, in the place of the first fields."""
    return Facts.from_codes(Car, (*codes, *CODES[len(codes) :]), age_s)


def failing(request: Request) -> str:
    raise OverloadError("expected fewer requests,\n got many")


def failing_after(answer: str) -> Callable[[Request], str]:
    def policy(request: Request) -> str:
        return failing(request) if request.prompt.names("injection") else answer

    return policy


ANSWERS: dict[str, tuple[Ask, str]] = {
    "core overloaded": (Asked(failing), "expected fewer requests, got many"),
    "other actions": (answering(actions=("A1", "A2", "A9")), "expected a probability for each of A1 A2 A3"),
    "actions in another order": (answering(actions=("A3", "A2", "A1")), "expected a probability for each of A1 A2 A3"),
    "no actions": (answering(actions=(), probabilities=()), "expected a probability for each of A1 A2 A3, got none"),
    "too few probabilities": (answering(probabilities=(0.0, 1.0)), "expected a probability for each of A1 A2 A3"),
    "unknown action chosen": (answering(chosen="A9"), "expected a chosen action and probabilities from 0 to 1"),
    "free text chosen": (answering(chosen="just go"), "expected a chosen action and probabilities from 0 to 1"),
    "probability nan": (answering(probabilities=(0.0, NAN, 1.0)), "expected a chosen action and probabilities"),
    "probability below 0": (answering(probabilities=(-1.0, 1.0, 1.0)), "expected a chosen action and probabilities"),
    "probability above 1": (answering(probabilities=(0.0, 0.0, 3.0)), "expected a chosen action and probabilities"),
    "margin nan": (answering(margin=NAN), "expected a chosen action and probabilities"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_answer_that_is_none_ends_in_a_checked_action(case: str) -> None:
    ask, said = ANSWERS[case]
    decision = settle(situation(seen(light="red")), ask)
    assert (decision.rung, decision.action, decision.reason) == (Rung.REPAIRED, 0, "core failed")
    assert decision.verdict.is_safe
    assert decision.attempts == ()
    assert [fault.fault for fault in decision.faults] == [FaultKind.CORE_FAILED]
    assert decision.faults[0].detail.startswith(said)


def test_answer_that_is_none_is_not_executed_even_where_rules_do_not_bind() -> None:
    decision = settle(situation(seen(light="red")), answering(probabilities=(0.0, NAN, 1.0)), binds=False)
    assert (decision.rung, decision.action) == (Rung.REPAIRED, 0)


def test_core_that_fails_after_a_violation_is_overruled_by_its_earlier_distribution() -> None:
    decision = settle(situation(seen(light="red")), Asked(failing_after(GO)))
    assert (decision.rung, decision.reason, len(decision.attempts)) == (Rung.CHOSEN, "core failed", 1)
    assert decision.verdict.is_safe


def test_core_that_fails_where_nothing_complies_ends_in_the_safe_stop() -> None:
    decision = settle(situation(seen(is_blocked=True)), Asked(failing))
    assert (decision.rung, decision.action, decision.reason) == (Rung.SAFE_STOP, 0, "core failed")


FACTS: dict[str, tuple[Facts | None, str, tuple[FaultKind, ...]]] = {
    "missing": (None, "observation missing", ()),
    "stale": (seen().aged(1.5), "observation stale", (FaultKind.OBSERVATION_STALE,)),
    "age nan": (coded(age_s=NAN), "observation unreadable", (FaultKind.OBSERVATION_MISSING,)),
    "age below 0": (coded(age_s=-1.0), "observation unreadable", (FaultKind.OBSERVATION_MISSING,)),
    "value nan": (coded(NAN), "observation unreadable", (FaultKind.OBSERVATION_MISSING,)),
    "value infinite": (coded(float("inf")), "observation unreadable", (FaultKind.OBSERVATION_MISSING,)),
    "value out of range": (coded(10_000), "observation unreadable", (FaultKind.OBSERVATION_MISSING,)),
    "value no number": (coded("near"), "observation unreadable", (FaultKind.OBSERVATION_MISSING,)),
    "word out of range": (coded(*CODES[:2], 7), "observation unreadable", (FaultKind.OBSERVATION_MISSING,)),
    "field missing": (Facts.from_codes(Car, CODES[:-1]), "observation unreadable", (FaultKind.OBSERVATION_MISSING,)),
    "field too many": (Facts.from_codes(Car, (*CODES, 0)), "observation unreadable", (FaultKind.OBSERVATION_MISSING,)),
    "contradiction": (coded((30, 20)), "observation unreadable", (FaultKind.OBSERVATION_MISSING,)),
    "half open": (coded((30,)), "observation unreadable", (FaultKind.OBSERVATION_MISSING,)),
    "of another world": (Facts.of(Boat, depth_m=3), "observation unreadable", (FaultKind.OBSERVATION_MISSING,)),
    "no facts at all": ({"gap_m": 50.0}, "observation unreadable", (FaultKind.OBSERVATION_MISSING,)),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("binds", [True, False])
@pytest.mark.parametrize("case", FACTS)
def test_unfit_observation_ends_in_the_safe_stop_without_asking(case: str, binds: bool) -> None:
    facts, reason, faults = FACTS[case]
    ask = Asked(by_turns(GO))
    decision = settle(situation(facts), ask, binds=binds)
    assert (decision.rung, decision.action, decision.reason) == (Rung.SAFE_STOP, 0, reason)
    assert (ask.requests, decision.attempts) == ([], ())
    assert tuple(fault.fault for fault in decision.faults) == faults
    assert all(fault.detail for fault in decision.faults)
    assert decision.verdict.outcome is (Outcome.SAFE if case == "stale" else Outcome.UNDECIDED)


def test_observation_as_old_as_allowed_is_decided_on() -> None:
    assert settle(situation(seen().aged(1.0)), Asked(by_turns(GO))).rung is Rung.PROPOSED


def test_rule_set_without_rules_approves_nothing() -> None:
    decision = settle(situation(seen(), RuleSet(Car, Drive)), Asked(by_turns(GO)))
    assert (decision.rung, decision.action, decision.reason) == (Rung.SAFE_STOP, 0, "check undecided")
    assert decision.faults[0].fault is FaultKind.CHECK_FAILED
    assert "expected at least one rule" in decision.faults[0].detail


Answers = Sequence[Truth | None]


def broken_decider(rules: Rules, facts: Facts, action: Action, open_rules: Sequence[int]) -> Answers:
    raise TimeoutError("no answer")


def silent_decider(rules: Rules, facts: Facts, action: Action, open_rules: Sequence[int]) -> Answers:
    return [None] * len(rules.rules)


def short_decider(rules: Rules, facts: Facts, action: Action, open_rules: Sequence[int]) -> Answers:
    return []


def babbling_decider(rules: Rules, facts: Facts, action: Action, open_rules: Sequence[int]) -> Answers:
    return ["safe"] * len(rules.rules)  # type: ignore[list-item]


def doubtful_decider(rules: Rules, facts: Facts, action: Action, open_rules: Sequence[int]) -> Answers:
    return [MAYBE] * len(rules.rules)


def pinched(decider: Any) -> Rules:
    """One rule that is never violated by going, though only a solver can tell; stopping needs none."""
    rules: Rules = RuleSet(Car, Drive, decider=decider)

    @rules.forbid()
    def squeeze(s: Car, a: Drive) -> bool:
        return (s.gap_m + s.rival_m < s.gap_m) & (a.manoeuvre != "stop")

    return rules


OPEN = seen(gap_m=UNKNOWN, rival_m=UNKNOWN)


@pytest.mark.parametrize("decider", [broken_decider, silent_decider, short_decider, babbling_decider])
def test_undecided_check_is_no_approval(decider: object) -> None:
    decision = settle(situation(OPEN, pinched(decider)), Asked(by_turns({GO: 0.7, SLOW: 0.2, STOP: 0.1})))
    assert (decision.rung, decision.action, decision.reason) == (Rung.CHOSEN, 0, "check undecided")
    assert decision.verdict.is_safe
    assert decision.attempts[0].verdict.outcome is Outcome.UNDECIDED
    assert [fault.fault for fault in decision.faults] == [FaultKind.CHECK_FAILED]
    assert decision.faults[0].detail


def test_doubt_of_the_solver_counts_as_a_violation() -> None:
    decision = settle(situation(OPEN, pinched(doubtful_decider)), Asked(by_turns(GO)))
    assert (decision.rung, decision.action) == (Rung.CHOSEN, 0)
    assert decision.verdict.is_safe


def test_violation_that_no_line_tells_of_is_not_injected_and_not_approved() -> None:
    rules: Rules = RuleSet(Car, Drive, decider=doubtful_decider)

    @rules.forbid()
    def never(s: Car, a: Drive) -> bool:
        colours = (s.light == "red") & (s.light == "green")
        return colours & (s.gap_m < s.rival_m) & (a.manoeuvre != "stop")

    decision = settle(situation(seen(gap_m=UNKNOWN, rival_m=UNKNOWN, light=UNKNOWN), rules), Asked(by_turns(GO)))
    assert (decision.rung, decision.action, decision.reason) == (Rung.CHOSEN, 0, "nothing to inject")


class Crashing(RuleSet[Any, Any]):
    """The compiled reading of the rules fails."""

    @property
    def compiled(self) -> Any:
        raise MemoryError("no room")


def test_exception_inside_a_check_is_no_approval() -> None:
    decision = settle(situation(seen(), declare(Crashing(Car, Drive))), Asked(by_turns(GO)))
    assert (decision.rung, decision.action, decision.reason) == (Rung.SAFE_STOP, 0, "check undecided")
    assert decision.faults[0].detail == "MemoryError: no room"


class Raising(RuleSet[Any, Any]):
    """Breaks the promise that a check never raises."""

    def check(self, facts: Facts, action: Action) -> Any:
        raise RuntimeError("broken promise")


def test_bug_in_a_check_gives_no_decision_at_all() -> None:
    with pytest.raises(RuntimeError, match="broken promise"):
        settle(situation(seen(), declare(Raising(Car, Drive))), Asked(by_turns(GO)))


async def test_bug_in_the_core_gives_no_decision_at_all() -> None:
    async def ask(request: Request) -> Choice:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await decide(situation(seen()), ask, Ladder())


@pytest.mark.parametrize("knock_out", [None, lambda request, block: 0.0])
def test_safe_stop_is_the_declared_one_and_not_the_first_action(knock_out: KnockOut | None) -> None:
    decision = settle(situation(seen(is_blocked=True), safe_stop=1), Asked(by_turns(GO)), knock_out)
    assert (decision.rung, decision.action) == (Rung.SAFE_STOP, 1)


def test_every_fault_of_a_core_is_told_in_one_short_line() -> None:
    async def ask(request: Request) -> Choice:
        raise CoreError("a\nb " * 500)

    fault = settle(situation(seen()), ask).faults[0]
    assert fault.detail.startswith("a b a b")
    assert len(fault.detail) == 300


@pytest.mark.parametrize("changes", [{"asks": -1}, {"max_age_s": NAN}, {"max_age_s": -1.0}])
def test_ladder_with_impossible_budgets_cannot_be_built(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected 0 or more asks and an age of 0 s or more"):
        Ladder(**changes)
