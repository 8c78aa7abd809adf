from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.recording import CanonicalError, canonical
from agents.recording.canonical import MAX_DEPTH
from tests.agents.builders import JSON_VALUES


@given(JSON_VALUES)
def test_canonical_bytes_of_what_was_read_back_are_the_same(value: object) -> None:
    data = canonical(value)

    assert canonical(json.loads(data)) == data


@given(st.dictionaries(st.text(max_size=8), JSON_VALUES, max_size=6), st.randoms())
def test_canonical_bytes_do_not_depend_on_the_order_of_keys(value: dict[str, object], random) -> None:
    items = list(value.items())
    random.shuffle(items)

    assert canonical(dict(items)) == canonical(value)


@given(JSON_VALUES, JSON_VALUES)
def test_canonical_bytes_are_equal_only_for_equal_values(left: object, right: object) -> None:
    if canonical(left) == canonical(right):
        assert left == right


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, {"a": [math.nan]}, {1, 2}, b"bytes"])
def test_value_without_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(CanonicalError):
        canonical(value)


def test_nesting_is_bounded() -> None:
    value: object = 0
    for _ in range(MAX_DEPTH + 1):
        value = [value]

    with pytest.raises(CanonicalError, match="levels of nesting"):
        canonical(value)


def test_spelling_of_a_value_is_fixed() -> None:
    assert (
        canonical({"b": 1.0, "a": [1, True, None, "ü"], "c": 1e-7})
        == b'{"a":[1,true,null,"\\u00fc"],"b":1.0,"c":1e-07}'
    )
