"""Checks: whole verdicts, and every fault ends undecided, never safe."""

# ruff: noqa: E501 - tables hold one case a line

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from symbolic import (
    MAYBE,
    NO,
    UNKNOWN,
    YES,
    Action,
    Facts,
    Interval,
    Margin,
    Outcome,
    RuleSet,
    State,
    Verdict,
    Violation,
    fields,
    whole,
)
from tests.symbolic.strategies import Operate, Plant

s: Any = fields(Plant)
a: Any = fields(Operate)
STAY = Operate(valve=0.0, mode="off", hold=True)
HERE = Facts.of(Plant, level=0.5, rate=0.3, count=2, mode="slow", wanted="fast", alarm=False)
FOG = Facts.of(Plant, level=Interval(-1, 2), rate=UNKNOWN, count=UNKNOWN, mode="slow", wanted="fast", alarm=False)
BALANCE = s.level + s.rate + s.count - (s.count + s.rate + s.level) == 0
"""True everywhere, which neither the walk nor trying a few states of FOG can tell."""


class OtherState(State):
    x: int = whole(ge=0, le=1)


class OtherAction(Action):
    x: int = whole(ge=0, le=1)


def plant_rules(decider: Any = None) -> RuleSet[Plant, Operate]:
    """R1 is kept by HERE and, for sure, in FOG; R2 is kept too, but in FOG only a solver sees that."""
    rules = RuleSet(Plant, Operate, decider=decider)
    rules.add(kind="forbid", name="calm", priority=9, expression=s.alarm & a.hold)
    rules.add(kind="require", name="sum", priority=5, expression=BALANCE | ~a.hold)
    return rules


def test_verdict_lists_every_violated_rule_with_its_numbers() -> None:
    rules = RuleSet(Plant, Operate)
    rules.add(kind="forbid", name="low", title="Too low.", priority=7, source="p 3", expression=(s.level < 1) & a.hold)
    rules.add(kind="require", name="off", priority=8, expression=(s.count < 2) | (a.mode == "fast"))
    rules.add(kind="forbid", name="kept", expression=s.alarm & a.hold)
    assert rules.check(HERE, STAY) == Verdict(
        outcome=Outcome.UNSAFE,
        violations=(
            Violation(
                rule="R2",
                name="off",
                title="off",
                source="",
                priority=8,
                sentence="Required: count < 2 or mode is fast.",
                numbers=(("count", "2"), ("mode", "off")),
                margin=Margin(Fraction(0), "count >= 2"),
            ),
            Violation(
                rule="R3",
                name="low",
                title="Too low.",
                source="p 3",
                priority=7,
                sentence="Forbidden when level < 1 and hold.",
                numbers=(("level", "0.5"), ("hold", "true")),
                margin=Margin(Fraction(1, 2), "level < 1"),
            ),
        ),
        undecided=(),
        action=STAY,
        facts_sha256=HERE.sha256,
        ruleset_sha256=rules.sha256,
    )


def test_solver_decides_what_the_walk_leaves_open() -> None:
    assert plant_rules().check(FOG, STAY).is_safe


def test_rule_that_some_allowed_state_violates_is_violated() -> None:
    rules = RuleSet(Plant, Operate)
    rules.add(kind="forbid", name="high", expression=(s.level > 0.5) & a.hold)
    verdict = rules.check(FOG, STAY)
    assert (verdict.outcome, verdict.violations[0].numbers) == (
        Outcome.UNSAFE,
        (("level", "-1 to 2"), ("hold", "true")),
    )


def bare(**change: Any) -> Any:
    good = {"level": 0.5, "rate": 0.3, "count": 2, "mode": "slow", "wanted": "fast", "alarm": False}
    return Plant.model_construct(**{**good, **change})


CODES: Any = HERE.codes
NAN: Any = math.nan
TEXT: Any = "ab"
FAULTS: dict[str, tuple[Any, Any, str]] = {
    "no facts": (None, STAY, "TypeError: expected facts of `Plant`, got `NoneType`; perceive before deciding"),
    "state instead of facts": (bare(), STAY, "TypeError: expected facts of `Plant`, got `Plant`; perceive before deciding"),
    "facts of another type": (Facts.of(OtherState, x=1), STAY, "TypeError: expected facts of `Plant`, got `OtherState`; perceive before deciding"),
    "no action": (HERE, None, "TypeError: expected an action of `Operate`, got `NoneType`; parse it first"),
    "action as text": (HERE, "A1", "TypeError: expected an action of `Operate`, got `str`; parse it first"),
    "action of another type": (HERE, OtherAction(x=1), "TypeError: expected an action of `Operate`, got `OtherAction`; parse it first"),
    "action out of range": (HERE, Operate.model_construct(valve=7.0, mode="off", hold=True), "DomainError: expected `valve` between -0.5 and 0.5, got `7.0`; report it as unknown"),
    "action not a number": (HERE, Operate.model_construct(valve=math.nan, mode="off", hold=True), "DomainError: expected a finite number for `valve`, got `nan`; report it as unknown"),
    "action without a field": (HERE, Operate.model_construct(valve=0.0, mode="off"), "KeyError: 'hold'"),
    "code missing": (Facts.from_codes(Plant, CODES[:-1]), STAY, "ValueError: expected codes within their fields, got others; build facts by `of` or `exact`"),
    "code too many": (Facts.from_codes(Plant, (*CODES, 0)), STAY, "ValueError: expected codes within their fields, got others; build facts by `of` or `exact`"),
    "code out of range": (Facts.from_codes(Plant, (99, *CODES[1:])), STAY, "ValueError: expected codes within their fields, got others; build facts by `of` or `exact`"),
    "code below range": (Facts.from_codes(Plant, (*CODES[:-1], -1)), STAY, "ValueError: expected codes within their fields, got others; build facts by `of` or `exact`"),
    "code not a number": (Facts.from_codes(Plant, (NAN, *CODES[1:])), STAY, "TypeError: cannot unpack non-iterable float object"),
    "code a text": (Facts.from_codes(Plant, (TEXT, *CODES[1:])), STAY, "ValueError: expected an ordered range inside `level`, got `a` to `b`; facts contradict"),
    "no codes": (Facts.from_codes(Plant, ()), STAY, "ValueError: expected 6 facts, got 0; give UNKNOWN for what is not known"),
    "interval out of order": (Facts.from_codes(Plant, ((2, 1), *CODES[1:])), STAY, "ValueError: expected an ordered range inside `level`, got `2` to `1`; facts contradict"),
    "interval out of range": (Facts.from_codes(Plant, ((0, 99), *CODES[1:])), STAY, "ValueError: expected an ordered range inside `level`, got `0` to `99`; facts contradict"),
    "open facts missing": (Facts.from_codes(Plant, (None, *CODES[2:])), STAY, "ValueError: expected 6 facts, got 5; give UNKNOWN for what is not known"),
    "age not a number": (Facts.from_codes(Plant, CODES, math.nan), STAY, "DomainError: expected an age of 0 s or more, got `nan`; drop facts of unknown age"),
}  # fmt: skip


@pytest.mark.parametrize(("facts", "action", "reason"), FAULTS.values(), ids=FAULTS)
def test_bad_input_is_undecided_with_its_reason(facts: Any, action: Any, reason: str) -> None:
    verdict = plant_rules().check(facts, action)
    assert (verdict.outcome, verdict.undecided, verdict.reason) == (Outcome.UNDECIDED, ("R1", "R2"), reason)
    assert not verdict.is_safe


@pytest.mark.parametrize("facts", [fault[0] for name, fault in FAULTS.items() if "action" not in name])
def test_no_action_complies_with_bad_facts(facts: Any) -> None:
    assert not any(plant_rules().compliant(facts))
    assert plant_rules().nearest(facts, STAY) is None


def test_empty_rule_set_approves_nothing() -> None:
    rules = RuleSet(Plant, Operate)
    assert rules.check(HERE, STAY).outcome is Outcome.UNDECIDED
    assert not any(rules.compliant(HERE))


def failing(*_: object) -> Any:
    raise RuntimeError("solver\nfell over")


@pytest.mark.parametrize(
    ("decider", "reason"),
    [
        (failing, "RuntimeError: solver fell over"),
        (lambda *_: (None, None), "the solver could not decide within its budget"),
        (lambda *_: (), "IndexError: tuple index out of range"),
        (lambda *_: None, "TypeError: 'NoneType' object is not subscriptable"),
    ],
)
def test_fault_of_the_solver_is_undecided(decider: Callable[..., Any], reason: str) -> None:
    verdict = plant_rules(decider).check(FOG, STAY)
    assert (verdict.outcome, verdict.undecided, verdict.reason) == (Outcome.UNDECIDED, ("R2",), reason)


@pytest.mark.parametrize("answer", [False, True, 0, 1, "NO", NO.value, math.nan, ()])
def test_answer_that_is_no_truth_is_undecided(answer: object) -> None:
    assert not plant_rules(lambda *_: (answer, answer)).check(FOG, STAY).is_safe


@pytest.mark.parametrize(
    ("answer", "outcome"), [(NO, Outcome.SAFE), (MAYBE, Outcome.UNSAFE), (YES, Outcome.UNSAFE), (None, Outcome.UNDECIDED)]
)  # fmt: skip
def test_only_a_clear_no_is_safe(answer: Any, outcome: Outcome) -> None:
    assert plant_rules(lambda *_: (None, answer)).check(FOG, STAY).outcome is outcome


def test_known_violation_outweighs_an_undecided_rule() -> None:
    rules = plant_rules(lambda *_: (None, None))
    verdict = rules.check(Facts.from_codes(Plant, (*FOG.codes[:-1], 1)), STAY)
    assert ([one.rule for one in verdict.violations], verdict.undecided) == (["R1"], ("R2",))
    assert verdict.outcome is Outcome.UNSAFE


@pytest.mark.parametrize("broken", [failing, lambda s, a: (), lambda s, a: (False,), lambda s, a: None, lambda s, a: (0, None)])  # fmt: skip
def test_fault_of_the_compiled_function_is_never_safe(broken: Any) -> None:
    rules = plant_rules()
    assert rules.sha256
    rules._sealed = dataclasses.replace(rules._sealed, compiled=broken)  # type: ignore[type-var]
    assert not rules.check(HERE, STAY).is_safe
    assert not any(rules.compliant(HERE))


@pytest.mark.parametrize("broken", [failing, lambda s, a: [], lambda s, a: None, lambda s, a: [(0, None, 0)], lambda s, a: [(1, 0, 0)]])  # fmt: skip
def test_fault_of_the_measure_is_never_safe(broken: Any) -> None:
    rules = plant_rules()
    alarmed = Facts.from_codes(Plant, (*CODES[:-1], 1))
    assert rules.check(alarmed, STAY).outcome is Outcome.UNSAFE
    measure = dataclasses.replace(rules.measure, function=broken)
    rules._sealed = dataclasses.replace(rules._sealed, measure=measure)  # type: ignore[type-var]
    verdict = rules.check(alarmed, STAY)
    assert (verdict.outcome, verdict.undecided) == (Outcome.UNDECIDED, ("R1", "R2"))


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": Outcome.SAFE, "undecided": ("R1",)},
        {"outcome": Outcome.SAFE, "reason": "late"},
        {"outcome": Outcome.UNSAFE},
        {"outcome": Outcome.UNDECIDED},
    ],
)
def test_verdict_that_contradicts_its_reasons_cannot_be_built(change: Any) -> None:
    good = {"violations": (), "undecided": (), "action": STAY, "facts_sha256": "", "ruleset_sha256": ""}
    with pytest.raises(ValueError, match="expected an outcome that fits its reasons"):
        Verdict(**{**good, **change})


def test_verdict_is_written_as_canonical_json() -> None:
    verdict = plant_rules().check(HERE, STAY)
    assert verdict.to_json() == (
        '{"action":{"hold":true,"mode":"off","valve":0.0},'
        f'"facts_sha256":"{HERE.sha256}","outcome":"safe","reason":"","ruleset_sha256":"{plant_rules().sha256}",'
        '"undecided":[],"version":2,"violations":[]}'
    )


def test_violation_is_written_with_its_margin_and_its_state() -> None:
    rules = RuleSet(Plant, Operate)
    rules.add(kind="forbid", name="high", expression=(s.level > 0.5) & a.hold)
    (found,) = json.loads(rules.check(FOG, STAY).to_json())["violations"]
    state = {"alarm": False, "count": -1, "level": 1.0, "mode": "slow", "rate": 0.0, "wanted": "fast"}
    assert (found["margin"], found["counterexample"]) == (["level > 0.5", "0.5"], {"fields": state, "is_first": True})
