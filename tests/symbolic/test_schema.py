"""The compliant actions as a schema and as a grammar: tried with every action, and with what is none."""

from __future__ import annotations

import itertools
import json
from typing import Any, Literal

import jsonschema
import pytest
from hypothesis import given, settings
from xgrammar.testing import _is_grammar_accept_string

from symbolic import UNKNOWN, Action, Facts, NoActionError, RuleSet, State, fields, fixed, grammar, json_schema, whole
from tests.symbolic.strategies import ACTIONS, Operate, Plant, exact_facts, open_facts, rule_sets


class Road(State):
    gap_m: float = fixed(ge=0, le=50, step=0.5)


class Drive(Action):
    accel: float = fixed(ge=-4, le=3, step=0.1)
    lane: int = whole(ge=-1, le=1)
    turn: Literal["left", 'the "far" right\\', "straight", "grün"]
    horn: bool


def driving(**rules: Any) -> RuleSet[Road, Drive]:
    found = RuleSet(Road, Drive)
    for name, expression in rules.items():
        found.add(kind="forbid", name=name, expression=expression)
    return found


def accepts(schema: Any, action: object) -> bool:
    return bool(jsonschema.Draft202012Validator(schema).is_valid(action))


@settings(max_examples=60)
@given(rule_sets(), exact_facts)
def test_schema_and_grammar_accept_exactly_the_compliant_actions(rules: RuleSet[Plant, Operate], facts: Facts) -> None:
    compliant = rules.compliant(facts)
    if not any(compliant):
        with pytest.raises(NoActionError):
            json_schema(rules, facts)
        with pytest.raises(NoActionError):
            grammar(rules, facts)
        return
    schema, text = json_schema(rules, facts), grammar(rules, facts)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert tuple(accepts(schema, action.model_dump()) for action in ACTIONS) == compliant
    written = [rules.texts[id(action)] for action in rules.actions]
    assert tuple(_is_grammar_accept_string(text, one) for one in written) == compliant


@settings(max_examples=30)
@given(rule_sets(), open_facts)
def test_of_open_facts_only_what_is_sure_to_comply_is_accepted(rules: RuleSet[Plant, Operate], facts: Facts) -> None:
    try:
        schema = json_schema(rules, facts)
    except NoActionError:
        assert not any(rules.compliant(facts))
    else:
        assert tuple(accepts(schema, action.model_dump()) for action in ACTIONS) == rules.compliant(facts)


def test_values_beside_the_actions_are_refused() -> None:
    a: Any = fields(Drive)
    rules = driving(far=(a.accel > 1) & (a.lane != 0), loud=a.horn)
    schema = json_schema(rules, Facts.of(Road, gap_m=3.0))
    good = {"accel": 0.3, "lane": -1, "turn": "left", "horn": False}
    assert accepts(schema, good)
    for wrong in (
        {"accel": 0.35}, {"accel": 3.1}, {"accel": "0.3"}, {"accel": None}, {"lane": 2}, {"lane": 0.5}, {"lane": True},
        {"horn": True}, {"horn": 0}, {"turn": "Left"}, {"turn": ""}, {"more": 1}, {"accel": 1.1},
    ):  # fmt: skip
        assert not accepts(schema, {**good, **wrong}), wrong
    for missing in good:
        assert not accepts(schema, {name: value for name, value in good.items() if name != missing})
    assert not accepts(schema, [good])


def test_every_action_of_a_wide_type_is_told_apart() -> None:
    s: Any = fields(Road)
    a: Any = fields(Drive)
    rules = driving(close=(s.gap_m < 5) & (a.accel + a.lane > 0), odd=(a.turn == "left") & (a.lane == 1))
    facts = Facts.of(Road, gap_m=3.0)
    compliant = rules.compliant(facts)
    assert len(compliant) == 1704
    schema, text = json_schema(rules, facts), grammar(rules, facts)
    validator = jsonschema.Draft202012Validator(schema)
    some = list(itertools.islice(zip(rules.actions, compliant, strict=True), 0, None, 13))
    assert [validator.is_valid(action.model_dump()) for action, _ in some] == [is_safe for _, is_safe in some]
    assert [_is_grammar_accept_string(text, rules.texts[id(action)]) for action, _ in some] == [one for _, one in some]


def test_a_range_is_a_range_where_floats_divide_exactly_and_a_list_elsewhere() -> None:
    a: Any = fields(Drive)
    schema: Any = json_schema(driving(loud=a.horn), Facts.of(Road, gap_m=UNKNOWN))
    assert schema["properties"]["lane"] == {"type": "integer", "minimum": -1, "maximum": 1}
    assert schema["properties"]["horn"] == {"const": False}
    gap: Any = json_schema(driving(middle=a.lane == 0), Facts.of(Road, gap_m=UNKNOWN))
    assert gap["properties"]["lane"] == {"enum": [-1, 1]}
    assert len(schema["properties"]["accel"]["enum"]) == 71

    class Coast(Action):
        accel: float = fixed(ge=-40, le=30, step=0.5)

    rules = RuleSet(Road, Coast)
    coast: Any = fields(Coast)
    rules.add(kind="forbid", name="hard", expression=coast.accel < -20)
    ranged: Any = json_schema(rules, Facts.of(Road, gap_m=UNKNOWN))
    expected = {"type": "number", "minimum": -20.0, "maximum": 30.0, "multipleOf": 0.5}
    assert ranged["properties"]["accel"] == expected
    values = [place / 4 for place in range(-180, 140)]
    safe = {one.accel for one in rules.actions if rules.check(Facts.of(Road, gap_m=0.0), one).is_safe}
    assert [accepts(ranged, {"accel": value}) for value in values] == [value in safe for value in values]


def test_grammar_is_compiled_for_a_vocabulary_and_steers_to_a_compliant_action() -> None:
    import xgrammar

    a: Any = fields(Drive)
    rules = driving(loud=a.horn, fast=a.accel > -3.9, lane=a.lane != 1)
    text = grammar(rules, Facts.of(Road, gap_m=1.0))
    vocabulary = [chr(code) for code in range(128)] + ["<end>"]
    info = xgrammar.TokenizerInfo(vocabulary, xgrammar.VocabType.RAW, stop_token_ids=[128])
    matcher = xgrammar.GrammarMatcher(xgrammar.GrammarCompiler(info).compile_grammar(text))
    written = ""
    mask = xgrammar.allocate_token_bitmask(1, info.vocab_size)
    while not matcher.is_terminated():
        matcher.fill_next_token_bitmask(mask)
        allowed = [token for token in range(129) if mask[0, token // 32] >> (token % 32) & 1]
        matcher.accept_token(allowed[-1])
        written += "" if allowed[-1] == 128 else vocabulary[allowed[-1]]
    action = Drive.model_validate(json.loads(written))
    assert rules.check(Facts.of(Road, gap_m=1.0), action).is_safe


def test_actions_too_many_to_list_are_refused() -> None:
    class Steer(Action):
        angle: float = fixed(ge=-1000, le=1000, step=0.1)

    rules = RuleSet(Road, Steer)
    steer: Any = fields(Steer)
    rules.add(kind="forbid", name="hard", expression=steer.angle < -20)
    with pytest.raises(ValueError, match="expected at most 4096 actions of `Steer` to list"):
        json_schema(rules, Facts.of(Road, gap_m=1.0))


def test_the_same_values_behind_each_other_are_written_once() -> None:
    a: Any = fields(Drive)
    text = grammar(driving(loud=a.horn), Facts.of(Road, gap_m=1.0))
    assert text.count("::=") == 5
    assert text.startswith("root ::= ")
