"""The rungs below repair: witnesses, concessions where a role concedes, and what broken ones come to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agents.deciding.decision import record_of
from agents.recording.events import ConcessionRecord, FaultKind, Rung
from symbolic import Action, Facts, Outcome, RuleSet, Shield, verify
from tests.agents.deciding.junction import GO, Asked, Car, Drive, Rules, by_turns, declare, seen, settle, situation

BLOCKED = seen(is_blocked=True)
RED = seen(light="red")


class Unrepaired(RuleSet[Any, Any]):
    """Repair gives nothing."""

    def nearest(self, facts: Facts, action: Action, metric: Any = None) -> None:
        return None


def shield_of(*witnesses: str) -> Shield[Any, Any]:
    return Shield(declare(RuleSet(Car, Drive)), tuple(Drive(manoeuvre=one) for one in witnesses))  # type: ignore[arg-type]


def cautious() -> Rules:
    """Going is forbidden close by, and so is everything else: the less important rule says that one must go on."""
    rules = RuleSet(Car, Drive)

    @rules.forbid(priority=80)
    def too_close(s: Car, a: Drive) -> bool:
        return (s.gap_m < 10) & (a.manoeuvre == "go")

    @rules.forbid(priority=20)
    def no_standing(s: Car, a: Drive) -> bool:
        return (s.gap_m < 20) & (a.manoeuvre != "go")

    return rules


def test_witness_is_executed_where_repair_gives_nothing() -> None:
    rules = declare(Unrepaired(Car, Drive))
    decision = settle(situation(RED, rules, shield=shield_of("go", "slow")), Asked(by_turns(GO)), chooses=False)
    assert (decision.rung, decision.action, decision.verdict.is_safe) == (Rung.WITNESS, 1, True)


def test_shield_of_a_proved_set_gives_the_witness() -> None:
    rules = RuleSet(Car, Drive)
    rules.forbid()(_red)
    other = Unrepaired(Car, Drive)
    other.forbid()(_red)
    shield = Shield.of(rules, verify(rules))
    decision = settle(situation(RED, other, shield=shield), Asked(by_turns(GO)), chooses=False)
    assert (decision.rung, decision.verdict.is_safe) == (Rung.WITNESS, True)


def _red(s: Car, a: Drive) -> bool:
    return (s.light == "red") & (a.manoeuvre == "go")


class BrokenShield:
    def __init__(self, answer: Callable[[], Any]) -> None:
        self._answer = answer

    def action(self, facts: Facts) -> Any:
        return self._answer()


def failing() -> Any:
    raise RuntimeError("table\ntorn")


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (failing, "RuntimeError: table torn"),
        (lambda: "stop", "ValueError"),
        (lambda: Drive.model_construct(manoeuvre="fly"), "ValueError"),  # type: ignore[arg-type]
        (lambda: Drive(manoeuvre="go"), None),
        (lambda: None, None),
    ],
)
def test_broken_shield_ends_in_the_safe_stop(answer: Callable[[], Any], detail: str | None) -> None:
    rules = declare(Unrepaired(Car, Drive))
    here = situation(RED, rules, shield=BrokenShield(answer))
    decision = settle(here, Asked(by_turns(GO)), chooses=False)
    assert (decision.rung, decision.action) == (Rung.SAFE_STOP, 0)
    assert [one.fault for one in decision.faults] == ([] if detail is None else [FaultKind.CHECK_FAILED])
    assert detail is None or decision.faults[0].detail.startswith(detail)


def test_role_that_concedes_executes_the_least_bad_action_and_says_so() -> None:
    here = situation(seen(gap_m=5.0), cautious())
    decision = settle(here, Asked(by_turns(GO)), concedes=True)
    assert (decision.rung, decision.action, decision.verdict.outcome) == (Rung.CONCEDED, 0, Outcome.UNSAFE)
    record = record_of(decision, actions=here.rules.actions, observation_seq=None, text=lambda _: "0" * 64)
    reason = "R2 given up: every action that keeps R2 breaks R1"
    assert record.concession == ConcessionRecord(given_up=("R2",), reason=reason)


def test_nothing_is_conceded_unless_the_role_says_so() -> None:
    decision = settle(situation(seen(gap_m=5.0), cautious()), Asked(by_turns(GO)))
    assert (decision.rung, decision.concession) == (Rung.SAFE_STOP, None)


def test_nothing_is_conceded_where_some_action_complies() -> None:
    decision = settle(situation(RED), Asked(by_turns(GO)), concedes=True)
    assert (decision.rung, decision.verdict.is_safe) == (Rung.CHOSEN, True)


def test_critical_rule_is_never_conceded() -> None:
    rules = RuleSet(Car, Drive)
    rules.forbid(is_critical=True)(lambda_blocked)
    decision = settle(situation(BLOCKED, rules), Asked(by_turns(GO)), concedes=True)
    assert (decision.rung, decision.concession) == (Rung.SAFE_STOP, None)


def lambda_blocked(s: Car, a: Drive) -> bool:
    return s.is_blocked & a.manoeuvre.isin("stop", "slow", "go")  # type: ignore[attr-defined,no-any-return]


class Contradicting(RuleSet[Any, Any]):
    """Says, of a state without a safe action, that all are."""

    def compliant(self, facts: Facts) -> tuple[bool, ...]:
        return (True,) * len(self.actions)


class Torn(RuleSet[Any, Any]):
    """Fails where it is asked which actions comply."""

    def compliant(self, facts: Facts) -> tuple[bool, ...]:
        return failing()  # type: ignore[no-any-return]


@pytest.mark.parametrize("broken", [Contradicting, Torn])
def test_broken_concession_ends_in_the_safe_stop(broken: type[RuleSet[Any, Any]]) -> None:
    decision = settle(situation(BLOCKED, declare(broken(Car, Drive))), Asked(by_turns(GO)), concedes=True)
    assert (decision.rung, decision.action, decision.concession) == (Rung.SAFE_STOP, 0, None)
    assert [one.fault for one in decision.faults] == [FaultKind.CHECK_FAILED]
