"""Regular expressions: a string of the grammar is one that `re` matches, and what cannot be held is refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from localist_core.errors import SchemaError
from localist_core.writing.grammar import Grammars
from localist_core.writing.pattern import SAFE, pattern_of
from localist_core.writing.schema import schema_of
from tests.localist_core import schemas


@pytest.fixture(scope="module")
def byte_level() -> Grammars:
    return schemas.grammars()


def atoms() -> st.SearchStrategy[str]:
    inside = st.lists(st.sampled_from(["a-c", "x", r"\d", "^", "]", ".", r"\.", "é", "0-4"]), min_size=1, max_size=3)
    classes = st.tuples(st.sampled_from(["[", "[^"]), inside.map("".join)).map(lambda pair: f"{pair[0]}{pair[1]}]")
    return st.one_of(st.sampled_from(["a", "b", "é", r"\d", r"\W", ".", r"\.", "-", "/"]), classes)


def patterns() -> st.SearchStrategy[str]:
    times = st.sampled_from(["", "*", "+", "?", "{2}", "{1,3}", "{2,}"])
    return st.recursive(
        atoms(),
        lambda inner: st.one_of(
            st.tuples(inner, inner).map("".join),
            st.tuples(inner, inner, times).map(lambda e: f"({e[0]}|{e[1]}){e[2]}"),
            st.tuples(inner, times).map(lambda e: f"(?:{e[0]}){e[1]}"),
        ),
        max_leaves=4,
    ).map(lambda inner: f"^{inner}$")


@given(source=patterns(), seed=st.integers(0, 2**16), data=st.data())
def test_grammar_of_a_pattern_holds_what_it_matches(byte_level, source, seed, data) -> None:
    try:
        schema = schema_of({"type": "string", "pattern": source})
    except SchemaError:
        reject()  # outside the subset; the strategy would be told if too few were left
    text = schemas.drawn(byte_level, schema, seed, most=60)
    if text is not None:
        assert re.search(source, text.decode()[1:-1], re.ASCII)
    other = data.draw(st.text(st.sampled_from("abcx04./-é]^ "), max_size=3))
    is_match = re.search(source, other, re.ASCII) is not None and all(c in SAFE or c in source for c in other)
    if is_match and "[^" not in source and "." not in source and r"\W" not in source:
        assert schemas.is_text(byte_level, schema, f'"{other}"')
    if re.search(source, other) is None:
        assert not schemas.is_text(byte_level, schema, f'"{other}"')


@pytest.mark.parametrize(
    "source",
    [
        *("a", "^a", "a$", "^a|b$", "^(?=a)a$", r"^(a)\1$", r"^\ba$", "^a*?$", "^a++$", "^(?i)a$", "^[[:alpha:]]$"),
        *("^[a&&b]$", r'^["\\]$', r"^\n$", "^(a$", "^a)$", "^(^a)$", "^*$", "^[b-a]$", r"^\p{L}$", r"^a\$", "^"),
        *("^(a*)*$", "^(a?|b)+$", "^(){2}$"),
    ],
)
def test_pattern_outside_the_subset_is_refused(source) -> None:
    with pytest.raises(SchemaError, match=r"expected a (pattern|regular expression)"):
        pattern_of(source)
