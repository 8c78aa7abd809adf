"""What is no action, or no state, is refused with its own message and never coerced."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbolic import Action, DomainError, Facts
from symbolic.guarding.proposal import MAX_PROPOSAL, Reader
from tests.symbolic.guarding.test_guard import STATE, plant_rules
from tests.symbolic.strategies import ACTIONS, Operate, Plant, actions, exact_facts

READER = Reader(plant_rules())
GOOD = {"valve": 0.5, "mode": "off", "hold": True}


class Other(Action):
    hold: bool


WRONG: dict[str, tuple[Any, str]] = {
    "text": ("go", "expected JSON, got `'go'`; send one object of fields (expecting value)"),
    "empty": ("", "expecting value"),
    "cut short": ('{"valve":0.5,', "expecting property name"),
    "two values": ('{"valve":0.5,"mode":"off","hold":true} {}', "extra data"),
    "not utf-8": (b"\xff\xfe", "send one object of fields"),
    "not a number": ('{"valve":NaN,"mode":"off","hold":true}', "nan is no number"),
    "infinite": ('{"valve":Infinity,"mode":"off","hold":true}', "infinity is no number"),
    "too large for a float": ('{"valve":1e999,"mode":"off","hold":true}', "expected a finite number for `valve`"),
    "repeated key": ('{"valve":0.5,"valve":0.0,"mode":"off","hold":true}', "a key is repeated"),
    "repeated key inside": ('{"valve":{"a":1,"a":2},"mode":"off","hold":true}', "a key is repeated"),
    "too long": (" " * (MAX_PROPOSAL + 1), f"expected at most {MAX_PROPOSAL} characters"),
    "too deep": ("[" * MAX_PROPOSAL, "expected JSON"),
    "long number": ('{"valve":' + "9" * 4000 + "}", "expected"),
    "list": ("[1]", "expected the fields of `Operate` by name, got `[1]`; give them all"),
    "nothing": (None, "expected the fields of `Operate` by name, got `None`"),
    "extra field": ({**GOOD, "speed": 1}, "expected a field of `Operate` (`valve`, `mode`, `hold`), got `speed`"),
    "missing field": ({"valve": 0.5, "mode": "off"}, "expected a value for `hold`, got none; give every field"),
    "wrong type": ({**GOOD, "hold": 1}, "expected true or false for `hold`, got `1`; give a bool"),
    "text for a number": ({**GOOD, "valve": "0.5"}, "expected a number for `valve`, got `'0.5'`"),
    "true for a number": ({**GOOD, "valve": True}, "expected a number for `valve`, got `True`"),
    "out of range": ({**GOOD, "valve": 7.0}, "expected `valve` between -0.5 and 0.5, got `7.0`"),
    "off the grid": ({**GOOD, "valve": 0.3}, "expected a multiple of 0.5 for `valve`, got `0.3`"),
    "unknown word": ({**GOOD, "mode": "slow"}, "expected one of `off`, `fast` for `mode`, got `'slow'`"),
    "unhashable": ({**GOOD, "mode": ["off"]}, "expected one of `off`, `fast` for `mode`"),
    "another action": (Other(hold=True), "expected an action of `Operate`, got one of `Other`"),
    "forged action": (Operate.model_construct(valve=9.0, mode="off", hold=True), "between -0.5 and 0.5"),
}


@pytest.mark.parametrize(("wrong", "message"), WRONG.values(), ids=WRONG)
def test_what_is_no_action_is_refused_with_its_own_message(wrong: Any, message: str) -> None:
    with pytest.raises(DomainError) as told:
        READER.action(wrong)
    assert message in str(told.value)
    assert len(str(told.value).splitlines()) == 1
    assert READER.quick(wrong) is None


@given(actions)
def test_what_is_right_is_read_in_every_shape(action: Operate) -> None:
    for shape in (action, action.model_dump(), action.model_dump_json(), f" {action.model_dump_json()} "):
        assert READER.action(shape) == action
    assert READER.listed[READER.quick(action.model_dump_json()) or ()] == action


@given(exact_facts)
def test_state_is_read_in_every_shape(facts: Facts) -> None:
    state = facts.state()
    for shape in (facts, state, dict(facts.items()), state.model_dump_json()):
        assert READER.facts(shape) == facts


WRONG_STATES: dict[str, tuple[Any, str]] = {
    "not a number": ({**STATE, "level": float("nan")}, "got `nan` at `level`"),
    "infinite": ({**STATE, "level": float("-inf")}, "got `-inf` at `level`"),
    "out of range": ({**STATE, "count": 99}, "got `99` at `count`"),
    "off the grid": ({**STATE, "rate": 0.2}, "expected a multiple of 0.3 for `rate`, got `0.2`"),
    "missing": ({name: STATE[name] for name in STATE if name != "alarm"}, "at `alarm`; field required"),
    "extra": ({**STATE, "speed": 1}, "got `1` at `speed`; extra inputs are not permitted"),
    "wrong type": ({**STATE, "alarm": 1}, "got `1` at `alarm`; input should be a valid boolean"),
    "whole number as a decimal": ({**STATE, "count": 2.0}, "got `2.0` at `count`"),
    "text": ("unclear", "expected JSON"),
    "repeated key": ('{"level":0.5,"level":0.0}', "a key is repeated"),
    "nothing": (None, "expected a state of `Plant`, got `None`"),
}


@pytest.mark.parametrize(("wrong", "message"), WRONG_STATES.values(), ids=WRONG_STATES)
def test_what_is_no_state_is_refused_with_its_own_message(wrong: Any, message: str) -> None:
    with pytest.raises(DomainError) as told:
        READER.facts(wrong)
    assert message in str(told.value)
    assert len(str(told.value).splitlines()) == 1
    assert READER.states.quick(wrong) is None


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda part: st.lists(part) | st.dictionaries(
    st.sampled_from(["valve", "mode", "hold", "x"]), part
)))  # fmt: skip
def test_nothing_but_an_action_is_ever_read(value: Any) -> None:
    try:
        found = READER.action(value)
    except DomainError:
        return
    assert found in ACTIONS
    assert found.model_dump() == value


def test_reading_is_the_same_at_the_second_time() -> None:
    for _ in range(2):
        assert READER.states.quick({**STATE, "alarm": 1}) is None
        assert READER.states.quick(STATE) == Facts.exact(Plant(**STATE)).codes
