"""Rule sets from canonical JSON alone: the same set again, or one clear refusal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings

from scenarios.corridor.rules import rules as corridor
from scenarios.intersection.rules import rules as junction
from symbolic import Facts, RuleError, RuleSet, load_rules
from tests.symbolic.strategies import ACTIONS, Operate, Plant, exact_facts, rule_sets


@settings(max_examples=25)
@given(rule_sets(), exact_facts)
def test_a_set_loaded_from_its_json_is_the_same_set(rules: RuleSet[Plant, Operate], facts: Facts) -> None:
    again: RuleSet[Any, Any] = load_rules(rules.to_json())
    assert (again.sha256, again.to_json()) == (rules.sha256, rules.to_json())
    assert again.state is not rules.state
    same = Facts.from_json(facts.to_json(), again.state)
    for mine, its in zip(ACTIONS, again.actions, strict=True):
        assert again.check(same, its).to_json() == rules.check(facts, mine).to_json()


@pytest.mark.parametrize("rules", [corridor, junction])
def test_the_rules_that_ship_load_with_their_claims(rules: RuleSet[Any, Any]) -> None:
    assert load_rules(rules.to_json()).to_json() == rules.to_json()


def plain() -> dict[str, Any]:
    rules = RuleSet(Plant, Operate)
    rules.forbid(id="hold")(lambda s, a: s.alarm & a.hold)
    record: dict[str, Any] = json.loads(rules.to_json())
    return record


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "{" * 100_000, '{"state": 1}'])
def test_text_that_is_no_rule_set_is_refused(text: str) -> None:
    with pytest.raises(RuleError):
        load_rules(text)


def test_an_action_without_fields_and_a_name_of_half_a_character_are_refused() -> None:
    for owner, entries in (("action", []), ("state", [["\ud800", "flag", 0, 1, "1/1", False, []]])):
        record = plain()
        record[owner]["fields"] = entries
        with pytest.raises(RuleError):
            load_rules(json.dumps(record))


@pytest.mark.parametrize(
    "field",
    [
        ["x", "number", 0, 1, "1/0", True, []],
        ["x", "number", 0, 1, "0/1", True, []],
        ["x", "number", 5, 1, "1/1", True, []],
        ["x", "number", 0, 1, "1/3", False, []],
        ["x", "number", 0, 10**400, "1/2", False, []],
        ["__class__", "flag", 0, 1, "1/1", False, []],
        ["x y", "flag", 0, 1, "1/1", False, ["more"]],
        ["x", "choice", 0, 1, "1/1", False, [1, 2]],
        ["x", "object", 0, 1, "1/1", False, []],
        ["x", "flag"],
        ["x", "flag", 0, 1, "1/1", False, [], ["claimed", "car", 9, None, False]],
        ["x", "choice", 0, 1, "1/1", False, ["a", "b"], ["claimed", "car", 9, None, False]],
        ["x", "flag", 0, 1, "1/1", False, [], "more"],
        ["x", "number", 0, 1, "1e99999999", True, []],
        {},
        "x",
    ],
)
def test_types_that_are_no_bounded_fields_are_refused(field: object) -> None:
    record = plain()
    record["state"]["fields"].append(field)
    with pytest.raises(RuleError, match="declaration of a State"):
        load_rules(json.dumps(record))
