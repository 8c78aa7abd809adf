"""Certificates: what holds is accepted, what was forged is refused, and the checker stands on its own."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbolic import UNKNOWN, Facts, Interval, Metric, RuleSet, State, actions_of, fields, whole
from symbolic.certifying.certificate import (
    CertificateError,
    repair_certificate,
    totality_certificate,
    verdict_certificate,
)
from symbolic.certifying.checker import OpenError, RefusedError, Rules, check
from tests.symbolic.strategies import ACTIONS, Operate, Plant, actions, exact_facts, open_facts, rule_sets
from tests.symbolic.test_deontic import GO, STOP, Car, Drive, car, junction
from tests.symbolic.test_metric import STEER, Steer, metrics

CHECKER = Path(__file__).parents[2] / "symbolic" / "certifying" / "checker.py"


def canonical(plain: object) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))


@given(rule_sets(), st.one_of(exact_facts, open_facts), actions)
def test_a_verdict_is_accepted_and_its_forgeries_are_refused(
    rules: RuleSet[Plant, Operate], facts: Facts, action: Operate
) -> None:
    text, known = verdict_certificate(rules, facts, rules.check(facts, action)), Rules(rules.to_json())
    assert text == canonical(json.loads(text))
    assert check(text, known) == "verdict"
    for rule in rules.rules:
        forged = json.loads(text)
        forged["violated"] = sorted({*forged["violated"]} ^ {rule.anchor})
        forged["outcome"] = "unsafe" if forged["violated"] else "safe"
        with pytest.raises(RefusedError):
            check(canonical(forged), known)


@given(rule_sets(), st.one_of(exact_facts, open_facts), actions, st.one_of(st.none(), metrics))
def test_the_nearest_safe_action_is_accepted_and_no_other(
    rules: RuleSet[Plant, Operate], facts: Facts, wanted: Operate, metric: Metric | None
) -> None:
    known, text = Rules(rules.to_json()), repair_certificate(rules, facts, wanted, metric)
    if text is None:
        assert not any(rules.compliant(facts))
        return
    assert check(text, known) == "repair"
    nearest = json.loads(text)["action"]
    for other in ACTIONS:
        if other.model_dump() != nearest:
            away = (metric or Metric.steps(Operate)).distance(wanted, other)
            told = {"action": other.model_dump(), "distance": away.numerator if away.denominator == 1 else str(away)}
            with pytest.raises(RefusedError, match="expected the nearest safe action"):
                check(canonical({**json.loads(text), **told}), known)


@pytest.mark.parametrize("metric", [STEER, Metric.of(Steer, angle=1, gear=2.5, horn=2), None])
def test_costs_between_words_and_of_any_change_are_weighed_as_the_metric_says(metric: Metric | None) -> None:
    rules, o, known = RuleSet(Car, Steer), fields(Steer), metric or Metric.steps(Steer)
    rules.add(
        kind="forbid", name="high", expression=(o.gear == "high") & (o.angle > -1) | (o.gear == "middle") & o.horn
    )
    rules.add(kind="forbid", name="low", expression=(o.gear == "low") & (o.angle < 0.5))
    facts, checked = car("red", False, True), Rules(rules.to_json())
    for wanted in actions_of(Steer)[::4]:
        text = repair_certificate(rules, facts, wanted, metric)
        assert text is not None
        assert check(text, checked) == "repair"
        for other in actions_of(Steer):
            away = known.distance(wanted, other)
            told = {"action": other.model_dump(), "distance": away.numerator if away.denominator == 1 else str(away)}
            if other.model_dump() != json.loads(text)["action"]:
                with pytest.raises(RefusedError, match="expected the nearest safe action"):
                    check(canonical({**json.loads(text), **told}), checked)


@pytest.mark.parametrize(
    "change",
    [
        {"distance": 3},
        {"distance": "5/2"},
        {"metric": {"valve": float("inf"), "mode": "1", "hold": "1"}},
        {"metric": {"valve": "1e999999999", "mode": "1", "hold": "1"}},
        {"metric": {"valve": "1", "mode": "9"}},
        {"metric": {"valve": "1", "mode": "0", "hold": "1"}},
        {"metric": {"valve": "9", "mode": "1", "hold": "1"}},
        {"wanted": {"valve": None, "mode": "fast", "hold": True}},
        {"action": {"valve": [-0.5, 0.0], "mode": "fast", "hold": True}},
    ],
)
def test_a_repair_with_any_part_changed_is_refused(change: dict[str, Any]) -> None:
    rules, o = RuleSet(Plant, Operate), fields(Operate)
    rules.add(kind="forbid", name="fast_and_open", expression=(o.mode == "fast") & (o.valve > 0))
    wanted = Operate(valve=0.5, mode="fast", hold=True)
    facts = Facts.of(Plant, level=0.5, rate=0.3, count=2, mode="slow", wanted="fast", alarm=False)
    text = repair_certificate(rules, facts, wanted, Metric.of(Operate, valve=1, mode=9, hold=1))
    assert text is not None
    assert json.loads(text)["distance"] == "1/2"
    assert check(text, rules.to_json()) == "repair"
    with pytest.raises(RefusedError):
        check(canonical({**json.loads(text), **change}), rules.to_json())


class Tank(State):
    level: int = whole(ge=0, le=900)
    inflow: int = whole(ge=-300, le=300)


class Lake(State):
    level: int = whole(ge=0, le=30_000)
    inflow: int = whole(ge=-300, le=300)


t: Any = fields(Tank)
o: Any = fields(Operate)


@given(st.integers(-50, 950), st.integers(1, 3), st.sets(st.sampled_from(ACTIONS), min_size=1, max_size=4))
def test_totality_is_accepted_where_trying_every_state_says_so(limit: int, slope: int, witnesses: set[Operate]) -> None:
    rules = RuleSet(Tank, Operate)
    rules.add(kind="forbid", name="flood", expression=(t.level + slope * t.inflow > limit) & (o.valve >= 0))
    rules.add(kind="forbid", name="dry", expression=(t.level < 200) & o.hold)
    is_total = any(one.valve < 0 and not one.hold for one in witnesses)
    is_total = is_total or all(
        any(
            not (level + slope * inflow > limit and one.valve >= 0) and not (level < 200 and one.hold)
            for one in witnesses
        )
        # What decides is the corners of the two regions that the rules cut out.
        for level in (0, 199, 200, 900)
        for inflow in (-300, 300)
    )
    text = totality_certificate(rules, sorted(witnesses, key=ACTIONS.index))
    if is_total:
        assert check(text, rules.to_json()) == "totality"
    else:
        with pytest.raises(RefusedError, match="got a state without"):
            check(text, rules.to_json())


def test_a_junction_that_forbids_both_to_stop_and_to_go_is_not_total() -> None:
    with pytest.raises(RefusedError, match="got a state without"):
        check(totality_certificate(junction(), [STOP, GO]), junction().to_json())


def verdict_text() -> str:
    facts = car("red", False, True)
    return verdict_certificate(junction(), facts, junction().check(facts, GO))


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "safe"},
        {"outcome": "undecided"},
        {"violated": [], "outcome": "safe"},
        {"violated": ["R1"]},
        {"violated": ["R2", "R1"]},
        {"violated": ["R1", "R2", "R9"]},
        {"undecided": ["R2"]},
        {"action": {"manoeuvre": "stop"}},
        {"action": {"manoeuvre": "fly"}},
        {"action": {}},
        {"facts": {"age_s": 0.0, "fields": {}, "schema": "Car", "version": 1}},
        {"facts": 3},
        {"rules": "0" * 64},
        {"version": 2},
        {"kind": "belief"},
        {"kind": "totality"},
        {"kind": ["verdict"]},
    ],
)
def test_a_verdict_with_any_part_changed_is_refused(change: dict[str, Any]) -> None:
    assert check(verdict_text(), junction().to_json()) == "verdict"
    with pytest.raises(RefusedError):
        check(canonical({**json.loads(verdict_text()), **change}), junction().to_json())


def test_what_is_said_to_be_undecided_is_not_shown_and_not_approved() -> None:
    plain = {**json.loads(verdict_text()), "violated": [], "undecided": ["R1", "R2"], "outcome": "undecided"}
    assert check(canonical(plain), junction().to_json()) == "verdict"
    with pytest.raises(RefusedError):
        check(canonical({**plain, "outcome": "safe"}), junction().to_json())


@given(st.one_of(st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(canonical)))
def test_other_text_is_refused_as_certificate_and_as_rules(text: str) -> None:
    with pytest.raises(RefusedError):
        check(text, junction().to_json())
    with pytest.raises(RefusedError):
        check(verdict_text(), text)


def test_text_that_is_not_canonical_is_refused() -> None:
    with pytest.raises(RefusedError, match="expected canonical JSON"):
        check(verdict_text().replace(",", ", "), junction().to_json())


def test_rules_in_a_circle_are_refused() -> None:
    plain = json.loads(junction().to_json())
    for rule, other in (("hit", "keep_moving"), ("keep_moving", "hit")):
        next(one for one in plain["rules"] if one["name"] == rule)["overrides"] = [other]
    with pytest.raises(RefusedError, match="in a circle"):
        Rules(canonical(plain))


def test_facts_that_leave_too_much_open_are_neither_accepted_nor_refused() -> None:
    rules, lake = RuleSet(Lake, Operate), fields(Lake)
    never = ((lake.level * 7 + lake.inflow * 2) % 600 == 599) & (lake.level % 2 == 0)
    rules.add(kind="forbid", name="never", expression=never)
    facts = Facts.of(Lake, level=UNKNOWN, inflow=Interval(-300, 300))
    plain = {
        "action": ACTIONS[0].model_dump(),
        "facts": json.loads(facts.to_json()),
        "kind": "verdict",
        "outcome": "safe",
        "prev": "",
        "rules": rules.sha256,
        "undecided": [],
        "version": 1,
        "violated": [],
    }
    with pytest.raises(OpenError, match="expected an answer within 50000 boxes"):
        check(canonical(plain), rules.to_json())


def test_no_certificate_is_made_of_a_verdict_on_something_else() -> None:
    rules, facts = junction(), car("red", False, True)
    other = RuleSet(Car, Drive)
    other.add(kind="forbid", name="x", expression=fields(Car).siren)
    for verdict in (
        rules.check(car("green", False, True), GO),
        other.check(facts, GO),
        rules.check(facts, "go"),  # type: ignore[arg-type]
    ):
        with pytest.raises(CertificateError):
            verdict_certificate(rules, facts, verdict)


def test_certificates_are_small_and_can_be_chained() -> None:
    assert len(verdict_text()) < 1024
    facts = car("green", False, False)
    text = verdict_certificate(junction(), facts, junction().check(facts, GO), prev="ab" * 32)
    assert json.loads(text)["prev"] == "ab" * 32
    assert check(text, junction().to_json()) == "verdict"


def test_the_checker_stands_on_its_own_and_can_be_read_in_one_sitting() -> None:
    nodes = list(ast.walk(ast.parse(CHECKER.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    allowed = {
        "__future__",
        "collections.abc",
        "dataclasses",
        "fractions",
        "hashlib",
        "itertools",
        "json",
        "math",
        "typing",
    }
    assert names <= allowed
    assert not {"exec", "eval", "compile"} & {node.id for node in nodes if isinstance(node, ast.Name)}
    assert sum(bool(line.strip()) for line in CHECKER.read_text().splitlines()) <= 300
