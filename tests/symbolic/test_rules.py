"""Declaring rules: order, names, places in errors, sealing, JSON, pickles."""

# ruff: noqa: E501 - tables hold one case a line

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from typing import Any, Literal

import pytest
from pydantic import create_model

from symbolic import Action, Facts, RuleError, RuleSet, State, fields, fixed, implies
from tests.symbolic.strategies import Operate, Plant

LIGHT: Any = Literal["r", "g"]
MOVE: Any = Literal["stop", "go"]


def plant_rules() -> RuleSet[Plant, Operate]:
    rules = RuleSet(Plant, Operate)

    @rules.forbid(priority=10)
    def b_late(s: Plant, a: Operate) -> bool:
        return s.alarm & a.hold

    @rules.require(priority=90, source="manual 4")
    def close_on_alarm(s: Plant, a: Operate) -> bool:
        """Close the valve on alarm.

        More words that are not the title.
        """
        return implies(s.alarm, a.valve <= 0)

    @rules.forbid(priority=10, id="a_first")
    def renamed(s: Plant, a: Operate) -> bool:
        return (s.level > 1) & (a.mode == "fast")

    return rules


def test_rules_are_ordered_by_priority_then_name() -> None:
    shown = [(rule.anchor, rule.name, rule.kind, rule.title, rule.source) for rule in plant_rules().rules]
    assert shown == [
        ("R1", "close_on_alarm", "require", "Close the valve on alarm.", "manual 4"),
        ("R2", "a_first", "forbid", "a first", ""),
        ("R3", "b_late", "forbid", "b late", ""),
    ]


def test_order_of_declaration_changes_nothing() -> None:
    rules, turned = plant_rules(), RuleSet(Plant, Operate)
    for rule in reversed(rules.rules):
        turned.add(
            kind=rule.kind,
            name=rule.name,
            title=rule.title,
            priority=rule.priority,
            source=rule.source,
            expression=rule.expression,
        )
    assert (turned.sha256, turned.rules) == (rules.sha256, rules.rules)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (lambda s, a: s.gap < 1, "expected a field of `Plant` (`level`, `rate`, `count`, `mode`, `wanted`, `alarm`), got `gap`; correct the name"),
        (lambda s, a: a.level < 1, "expected a field of `Operate` (`valve`, `mode`, `hold`), got `level`; correct the name"),
        (lambda s, a: True, "expected a condition over the fields, got `True`; return a comparison"),
        (lambda s, a: None, "expected a condition over the fields, got `None`; return a comparison"),
        (lambda s, a: s.level, 'expected a condition over the fields, got `NumberTerm(["read","state","level"])`; return a comparison'),
        (lambda s, a: s.mode, 'expected a condition over the fields, got `ChoiceTerm(["read","state","mode"])`; return a comparison'),
        (lambda s, a: s.mode.isin(), "expected at least one value, got an empty set; it would never hold"),
        (lambda s, a: s.mode < "off", "'<' not supported between instances of 'ChoiceTerm' and 'str'"),
    ],
)  # fmt: skip
def test_bad_body_is_an_error_with_its_place(body: Callable[[Any, Any], Any], message: str) -> None:
    with pytest.raises(RuleError) as caught:
        RuleSet(Plant, Operate).forbid(id="bad")(body)
    assert re.sub(r"^test_rules\.py:\d+: ", "", str(caught.value)) == f"rule `bad`: {message}"
    assert str(caught.value).startswith("test_rules.py:")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "allow"}, "rule `r`: expected kind `forbid`, `require` or `permit`, got `allow`; use one of them"),
        ({"name": "r 1"}, "rule `r 1`: expected a new name made of letters, digits and `_`, got `r 1`; rename it"),
        ({"name": "close_on_alarm"}, "rule `close_on_alarm`: expected a new name made of letters, digits and `_`, got `close_on_alarm`; rename it"),
        ({"priority": 101}, "rule `r`: expected a whole priority from 0 to 100, got `101`; rank it in that range"),
        ({"priority": True}, "rule `r`: expected a whole priority from 0 to 100, got `True`; rank it in that range"),
        ({"expression": fields(Plant).alarm | True & True}, None),
        ({"expression": implies(True, False)}, "rule `r`: expected a condition that reads a field, got a constant; compare fields with values"),
    ],
)  # fmt: skip
def test_bad_declaration_is_a_one_line_error(change: dict[str, Any], message: str | None) -> None:
    rules = plant_rules()
    declared = {"kind": "forbid", "name": "r", "expression": fields(Plant).alarm, **change}
    if message is None:
        rules.add(**declared)
        return
    with pytest.raises(RuleError) as caught:
        rules.add(**declared)
    assert str(caught.value) == message


def test_rule_after_the_first_use_is_refused() -> None:
    rules = plant_rules()
    assert rules.sha256
    with pytest.raises(
        RuleError, match=r"^rule `late`: expected all rules before the first use, got one after; declare it earlier$"
    ):
        rules.add(kind="forbid", name="late", expression=fields(Plant).alarm)


@pytest.mark.parametrize("types", [(State, Operate), (Plant, Plant), (Operate, Operate), (Plant, "Operate")])
def test_rule_set_over_wrong_types_is_refused(types: tuple[Any, Any]) -> None:
    with pytest.raises(RuleError, match=r"^expected an? (State|Action) type"):
        RuleSet(*types)


def test_rule_set_survives_a_pickle() -> None:
    rules = plant_rules()
    back = pickle.loads(pickle.dumps(rules))
    assert (back.sha256, back.rules) == (rules.sha256, rules.rules)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        plant_rules().to_json().replace('"version":1', '"version":2'),
        plant_rules().to_json().replace('"level"', '"height"'),
        plant_rules().to_json().replace('"forbid"', '"allow"'),
        plant_rules().to_json().replace('"priority":90', '"priority":"90"'),
        plant_rules().to_json().replace('"title"', '"titel"'),
        plant_rules().to_json().replace('"implies"', '"imply"'),
        plant_rules().to_json().replace('"rules":[', '"rules":[7,'),
        plant_rules().to_json().replace('"rules":[', '"rules":7,"more":['),
        plant_rules().to_json().replace('["number","', '["number","1e999999999'),  # as an integer it fills the memory
        plant_rules().to_json().replace('["number","', '["number","' + "9" * 400),
        plant_rules().to_json().replace('"title":"', '"title":"one line\\nand another'),
    ],
)
def test_rule_set_from_bad_json_is_a_one_line_error(text: str) -> None:
    with pytest.raises(RuleError) as caught:
        RuleSet.from_json(text, Plant, Operate)
    assert "\n" not in str(caught.value)


def test_json_tells_any_two_rule_sets_apart() -> None:
    texts = {plant_rules().to_json()}
    for change in ({"priority": 11}, {"source": "x"}, {"title": "x"}, {"kind": "require"}, {"name": "other"}):
        rules = plant_rules()
        declared: dict[str, Any] = {"kind": "forbid", "name": "r", "expression": fields(Plant).alarm, **change}
        rules.add(**declared)
        texts.add(rules.to_json())
    assert len(texts) == 6


def test_generated_types_and_rules_need_no_functions() -> None:
    state = create_model("S", __base__=State, gap=(float, fixed(ge=0, le=5, step=0.5)), light=(LIGHT, ...))
    action = create_model("A", __base__=Action, move=(MOVE, ...))
    s: Any = fields(state)
    a: Any = fields(action)
    rules = RuleSet(state, action)
    rules.add(
        kind="forbid",
        name="red",
        title="Red",
        priority=3,
        source="law",
        expression=(s.light == "r") & (a.move == "go"),
    )
    assert rules.compliant(Facts.of(state, gap=1.0, light="r")) == (True, False)


@pytest.mark.parametrize("divided", [lambda s: s.count // s.count, lambda s: 1 % s.level, lambda s: s.count % 0])
def test_a_divisor_that_may_be_zero_is_refused_when_the_rule_is_declared(divided: Callable[[Any], Any]) -> None:
    rules = RuleSet(Plant, Operate)
    with pytest.raises(RuleError, match=r"^rule `rest`: expected a divisor that is never 0, got one from .* to "):
        rules.add(kind="forbid", name="rest", expression=divided(fields(Plant)) == 1)


def test_a_divisor_that_may_be_zero_is_refused_in_json() -> None:
    rules = RuleSet(Plant, Operate)
    rules.add(kind="forbid", name="rest", expression=fields(Plant).count % 2 == 1)
    text = rules.to_json().replace('["number","2"]', '["number","0"]')
    with pytest.raises(RuleError, match="expected a divisor that is never 0"):
        RuleSet.from_json(text, Plant, Operate)
