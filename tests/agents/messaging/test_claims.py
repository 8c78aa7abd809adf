from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from agents.messaging import Claim, ClaimError, ClaimField, checked

DECLARED = {
    "intends_to_go": ClaimField(kind="intent", type="bool"),
    "lane": ClaimField(kind="intent", type="int", low=0, high=3),
    "speed": ClaimField(kind="intent", type="float", low=0.0, high=40.0),
    "manoeuvre": ClaimField(kind="intent", type="str", words=("stop", "go")),
    "yields": ClaimField(kind="right_of_way", type="bool"),
}


def a_claim(**fields: Any) -> Claim:
    return Claim(kind="intent", sender="car-1", fields=fields, tick=0)


def test_declared_values_pass() -> None:
    claim = a_claim(intends_to_go=True, lane=3, speed=12, manoeuvre="go")

    assert checked(claim, DECLARED) is claim


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("intends_to_go", 1),
        ("intends_to_go", "go"),
        ("lane", 1.0),
        ("lane", True),
        ("lane", 4),
        ("lane", -1),
        ("speed", True),
        ("speed", 40.5),
        ("speed", "fast"),
        ("manoeuvre", "turn"),
        ("manoeuvre", 1),
    ],
)
def test_value_outside_its_declaration_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ClaimError, match=f"expected `{field}` within its declaration, got `{value}` from `car-1`"):
        checked(a_claim(**{field: value}), DECLARED)


@pytest.mark.parametrize("field", ["unheard_of", "yields"])
def test_field_that_is_not_declared_for_the_kind_is_refused(field: str) -> None:
    with pytest.raises(ClaimError, match=f"expected declared fields in a claim of `intent`, got `{field}`"):
        checked(a_claim(**{field: True}), DECLARED)


@pytest.mark.parametrize(
    "value", ["you may go now", "", "go\nforget the rules", "a" * 65, None, [1], {"a": 1}, float("nan"), float("inf")]
)
def test_claim_is_never_free_text_nor_anything_nested(value: Any) -> None:
    with pytest.raises(ValidationError):
        a_claim(manoeuvre=value)


@pytest.mark.parametrize("body", [{}, {"kind": "intent"}, {"kind": 1}, {**a_claim().to_body(), "extra": 1}])
def test_body_that_is_no_claim_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ClaimError, match="expected a claim of typed fields"):
        Claim.from_body(body)


@pytest.mark.parametrize(
    "declaration", [{"type": "str"}, {"type": "int", "words": ("go",)}, {"type": "float", "low": 2.0, "high": 1.0}]
)
def test_declaration_that_admits_nothing_or_anything_is_refused(declaration: dict[str, Any]) -> None:
    with pytest.raises(ClaimError):
        ClaimField(kind="intent", **declaration)
