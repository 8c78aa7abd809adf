"""Bounded fields, facts and their bad inputs."""

# ruff: noqa: E501 - tables hold one case a line

from __future__ import annotations

import math
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError, create_model

from symbolic import (
    UNKNOWN,
    Action,
    DomainError,
    Facts,
    Interval,
    State,
    actions_of,
    codes_of,
    domain_of,
    fixed,
    quantise,
    shortest,
    whole,
    widen,
)
from symbolic.domain import is_wide
from tests.symbolic.strategies import ACTIONS, Operate, Plant

GOOD: dict[str, Any] = {"level": 1.5, "rate": 0.3, "count": 2, "mode": "slow", "wanted": "fast", "alarm": True}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level": 1.7}, "expected a multiple of 0.5 for `level`, got `1.7`; quantise it first"),
        ({"level": 9.0}, "expected `level` between -1 and 2, got `9.0`; report it as unknown"),
        ({"level": math.nan}, "expected a finite number for `level`, got `nan`; report it as unknown"),
        ({"level": math.inf}, "expected a finite number for `level`, got `inf`; report it as unknown"),
        ({"level": "1"}, "expected a number for `level`, got `'1'`; give a finite value in range"),
        ({"level": True}, "expected a number for `level`, got `True`; give a finite value in range"),
        ({"rate": 0.1 + 0.2}, "expected a multiple of 0.3 for `rate`, got `0.30000000000000004`; quantise it first"),
        ({"count": 1.0}, "expected a whole number for `count`, got `1.0`; give a finite value in range"),
        ({"count": 3}, "expected `count` between -1 and 2, got `3`; report it as unknown"),
        ({"mode": "burst"}, "expected one of `off`, `slow`, `fast` for `mode`, got `'burst'`; use a declared value"),
        ({"mode": 0}, "expected one of `off`, `slow`, `fast` for `mode`, got `0`; use a declared value"),
        ({"alarm": 1}, "expected true or false for `alarm`, got `1`; give a bool"),
        ({"alarm": Interval(0, 1)}, "expected a value or UNKNOWN for `alarm`, got an interval; only numbers have one"),
        ({"level": Interval(0, 1.2)}, "expected a multiple of 0.5 for `level`, got `1.2`; quantise it first"),
        (
            {"lvel": 1},
            "expected a field of `Plant` (`level`, `rate`, `count`, `mode`, `wanted`, `alarm`), got `lvel`; correct the name",
        ),
    ],
)
def test_facts_of_a_bad_value_say_what_was_expected(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DomainError) as caught:
        Facts.of(Plant, **{**GOOD, **change})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "change", [{"level": 1.7}, {"level": math.nan}, {"count": True}, {"mode": "burst"}, {"alarm": 1}, {"more": 1}]
)
def test_state_refuses_what_facts_refuse(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Plant.model_validate({**GOOD, **change})


def test_facts_without_a_field_are_refused() -> None:
    with pytest.raises(
        DomainError, match=r"^expected a fact for `alarm`, got none; give UNKNOWN for what is not known$"
    ):
        Facts.of(Plant, **{name: value for name, value in GOOD.items() if name != "alarm"})


@pytest.mark.parametrize(
    ("annotation", "declared", "message"),
    [
        (float, ..., "expected bounds for `Bad.x`, got none; declare it with fixed(ge=, le=, step=)"),
        (int, ..., "expected bounds for `Bad.x`, got none; declare it with whole(ge=, le=)"),
        (str, ..., "expected `Bad.x` to be a bounded float, int, bool or Literal of strings, got `<class 'str'>`; declare it with fixed() or whole()"),
        (Literal["a", 1], ..., "expected `Bad.x` to be a bounded float, int, bool or Literal of strings, got `typing.Literal['a', 1]`; declare it with fixed() or whole()"),
        ("Missing", ..., "expected a known type for `Bad.x`, got `ForwardRef('Missing')`; import it above the declaration"),
        (bool, True, "expected no default for `Bad.x`, got `True`; a missing fact must stay missing"),
        (float, fixed(ge=0, le=1, step=0.3), "expected ge < le, both multiples of step > 0 for `Bad.x`, got `[0, 1, 0.3]`; correct the bounds"),
        (float, fixed(ge=1, le=0, step=1), "expected ge < le, both multiples of step > 0 for `Bad.x`, got `[1, 0, 1]`; correct the bounds"),
        (float, fixed(ge=0, le=1e300, step=1), "expected at most 2**53 grid points each side for `Bad.x`, got `[0, 1e+300, 1]`; coarsen the step"),
    ],
)  # fmt: skip
def test_field_without_clear_bounds_is_a_load_error(annotation: Any, declared: Any, message: str) -> None:
    with pytest.raises(DomainError) as caught:
        create_model("Bad", __base__=State, x=(annotation, declared))
    assert str(caught.value) == message


def test_actions_stand_in_declaration_order_the_last_field_fastest() -> None:
    shown = [(a.valve, a.mode, a.hold) for a in ACTIONS[:5]]
    assert shown == [
        (-0.5, "off", False),
        (-0.5, "off", True),
        (-0.5, "fast", False),
        (-0.5, "fast", True),
        (0.0, "off", False),
    ]
    assert len(ACTIONS) == 12
    assert actions_of(Operate) is ACTIONS


def test_more_actions_than_can_be_listed_are_refused_by_the_list_alone() -> None:
    big = create_model("Big", __base__=Action, x=(int, whole(ge=0, le=4096)))
    with pytest.raises(DomainError, match=r"^expected at most 4096 actions of `Big` to list, got 4097; coarsen"):
        actions_of(big)
    assert is_wide(big)


def test_an_action_type_without_fields_is_refused() -> None:
    with pytest.raises(DomainError, match=r"^expected an action type with fields, got none in `Nothing`"):
        actions_of(create_model("Nothing", __base__=Action))


def test_exact_facts_give_their_state_back() -> None:
    state = Plant(**GOOD)
    assert Facts.exact(state).state() == state
    assert dict(Facts.exact(state).items()) == GOOD


def test_open_facts_have_no_single_state() -> None:
    facts = Facts.of(Plant, **{**GOOD, "alarm": UNKNOWN, "level": Interval(0, 1)})
    assert (facts.value("alarm"), facts.value("level"), facts.is_exact) == (UNKNOWN, Interval(0, 1), False)
    with pytest.raises(DomainError, match="expected exact facts"):
        facts.state()


def test_facts_are_written_with_sorted_keys() -> None:
    facts = Facts.of(Plant, **{**GOOD, "alarm": UNKNOWN, "level": Interval(0, 1)}).aged(0.25)
    assert facts.to_json() == (
        '{"age_s":0.25,"fields":{"alarm":null,"count":2,"level":[0.0,1.0],"mode":"slow","rate":0.3,"wanted":"fast"},'
        '"schema":"Plant","version":1}'
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "[" * 100_000,
        '{"age_s":0,"fields":{},"schema":"Plant","version":1}',
        '{"age_s":0,"fields":{},"schema":"Plant","version":2}',
        '{"age_s":0,"fields":{},"schema":"Other","version":1}',
        Facts.exact(Plant(**GOOD)).to_json().replace("1.5", "NaN"),
        Facts.exact(Plant(**GOOD)).to_json().replace("1.5", "[1,2,3]"),
        Facts.exact(Plant(**GOOD)).to_json().replace("1.5", "[1.5,0.5]"),
        Facts.exact(Plant(**GOOD)).to_json().replace("1.5", "{}"),
        Facts.exact(Plant(**GOOD)).to_json().replace('"age_s":0.0', '"age_s":-1'),
        Facts.exact(Plant(**GOOD)).to_json().replace('"count":2', '"count":2,"count":1'),
        Facts.exact(Plant(**GOOD)).to_json().replace("alarm", "alram"),
    ],
)
def test_facts_from_bad_json_are_one_line_errors(text: str) -> None:
    with pytest.raises(DomainError) as caught:
        Facts.from_json(text, Plant)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("age_s", [-1.0, math.nan, math.inf, True])
def test_age_is_zero_or_more(age_s: float) -> None:
    with pytest.raises(DomainError, match="expected an age of 0 s or more"):
        Facts.exact(Plant(**GOOD), age_s)


@pytest.mark.parametrize(("low", "high"), [(1, 0), (math.nan, 1), (0, math.inf)])
def test_interval_out_of_order_cannot_be_built(low: float, high: float) -> None:
    with pytest.raises(DomainError, match="expected finite ends with low <= high"):
        Interval(low, high)


@given(st.floats(-1.2, 2.2))
def test_quantised_number_is_the_nearest_grid_point(value: float) -> None:
    field = domain_of(Plant).field("level")
    assert abs(quantise(value, field) - value) <= 0.25
    assert field.decode(field.encode(quantise(value, field))) == quantise(value, field)


@pytest.mark.parametrize("value", [-1.3, 2.26, math.nan])
def test_quantise_never_clamps(value: float) -> None:
    with pytest.raises(DomainError):
        quantise(value, domain_of(Plant).field("level"))


@given(st.floats(-1, 2), st.floats(0, 0.4))
def test_widened_interval_covers_the_measured_one(value: float, noise: float) -> None:
    low, high = max(-1.0, value - noise), min(2.0, value + noise)
    found = widen(low, high, domain_of(Plant).field("level"))
    assert found.low <= low <= high <= found.high
    assert Facts.of(Plant, **{**GOOD, "level": found}).value("level") in {found, found.low}


def test_state_built_around_its_validation_is_refused() -> None:
    with pytest.raises(DomainError, match="expected a finite number for `level`"):
        codes_of(Plant.model_construct(**{**GOOD, "level": math.nan}))


@pytest.mark.parametrize(
    ("value", "text"), [(3.0, "3"), (3.5, "3.5"), (-0.25, "-0.25"), (0.1, "0.1"), (1e-7, "0.0000001"), (1e16, "10000000000000000")]
)  # fmt: skip
def test_shortest_decimal_of_a_number(value: float, text: str) -> None:
    assert shortest(value) == text
