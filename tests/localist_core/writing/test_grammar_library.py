"""Why schemas are translated here: texts that the grammar library's own reading of JSON Schema wrongly allows.

Each case fails as soon as the library holds it; then this project's refusal, or its own grammar, can be thought over.
"""

from __future__ import annotations

import json

import jsonschema
import pytest
import xgrammar

from localist_core.errors import SchemaError
from localist_core.writing.ebnf import CHARACTERS
from localist_core.writing.schema import schema_of

RANGE = "a range without a number of six decimals"
DROPPED: dict[str, tuple[dict[str, object], bytes]] = {
    "multipleOf of a number": ({"type": "number", "minimum": 0, "maximum": 10, "multipleOf": 0.5}, b"8.7"),
    "length beside a pattern": ({"type": "string", "pattern": "^[a-c]*$", "maxLength": 2}, b'"abcabc"'),
    "look-ahead": ({"type": "string", "pattern": "^(?=a)b$"}, b'"b"'),
    "quote in a pattern": ({"type": "string", "pattern": '^["]$'}, b'"""'),
    "uniqueItems": ({"type": "array", "items": {"enum": [1, 2]}, "uniqueItems": True}, b"[2,2]"),
    "contains": ({"type": "array", "items": {"enum": [1, 2]}, "contains": {"const": 2}}, b"[1]"),
    "type beside enum": ({"type": "string", "enum": ["x", 1]}, b"1"),
    "bound beside enum": ({"type": "integer", "enum": [1, 2, 3], "minimum": 2}, b"1"),
    "required but undeclared": (
        {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a", "z"], "additionalProperties": False},
        b'{"a":1}',
    ),
    "dependentRequired": (
        {
            "type": "object",
            "properties": {"a": {"const": 1}, "b": {"const": 1}},
            "dependentRequired": {"a": ["b"]},
            "additionalProperties": False,
        },
        b'{"a":1}',
    ),
    "overlapping oneOf": (
        {"oneOf": [{"type": "integer", "minimum": 0, "maximum": 5}, {"type": "integer", "minimum": 3, "maximum": 9}]},
        b"4",
    ),
    "bound beside anyOf": ({"type": "integer", "minimum": 4, "anyOf": [{"type": "integer", "maximum": 5}]}, b"2"),
    "allOf of two": ({"allOf": [{"type": "integer", "minimum": 0}, {"type": "integer", "maximum": 3}]}, b'"x"'),
    "not": ({"type": "integer", "minimum": 0, "maximum": 5, "not": {"const": 3}}, b"3"),
    "if": ({"type": "integer", "minimum": 0, "maximum": 5, "if": {"minimum": 3}, "then": {"multipleOf": 2}}, b"3"),
    "bound beside $ref": (
        {"$defs": {"p": {"type": "integer", "maximum": 30}}, "$ref": "#/$defs/p", "maximum": 5},
        b"7",
    ),
    "half of a surrogate pair": ({"type": "string"}, b'"\xed\xa0\x80"'),
    RANGE: ({"type": "number", "minimum": 0.1234564, "maximum": 0.1234566}, b""),
}
"""Name -> schema, and a text that the library's own grammar of it holds."""


@pytest.fixture(scope="module")
def compiler() -> xgrammar.GrammarCompiler:
    letters = [bytes([byte]) for byte in range(1, 256)]
    return xgrammar.GrammarCompiler(xgrammar.TokenizerInfo([*letters, b"</s>"], stop_token_ids=[255]))


@pytest.mark.parametrize("name", DROPPED)
def test_reading_of_the_library_still_allows_a_wrong_text(compiler, name) -> None:
    schema, text = DROPPED[name]
    compiled = compiler.compile_json_schema(json.dumps(schema), any_whitespace=False, separators=(",", ":"))
    matcher = xgrammar.GrammarMatcher(compiled)
    assert not text or matcher.accept_string(text)
    assert matcher.is_completed()
    with pytest.raises((ValueError, jsonschema.ValidationError)):
        jsonschema.validate(json.loads(text.decode()), schema)


HELD = {"multipleOf of a number", "type beside enum", "half of a surrogate pair", RANGE}
"""Those that this project's own grammar holds."""


@pytest.mark.parametrize("name", sorted(set(DROPPED) - HELD))
def test_same_schema_is_refused_here(name) -> None:
    schema, _ = DROPPED[name]
    with pytest.raises(SchemaError):
        schema_of({"type": "object", "properties": {"v": schema}, "required": ["v"], "$defs": schema.get("$defs", {})})


def test_count_of_the_library_still_allows_tokens_that_it_refuses() -> None:
    """Why counts are written in chunks: below the least count a token that ends the string is allowed all the same."""
    words = [b"a", b'"', b'a"', b"</s>"]
    compiler = xgrammar.GrammarCompiler(xgrammar.TokenizerInfo(words, stop_token_ids=[3]))
    matcher = xgrammar.GrammarMatcher(compiler.compile_grammar(f'root ::= "\\"" {CHARACTERS}{{100,200}} "\\""'))
    assert matcher.accept_token(1)
    bits = xgrammar.allocate_token_bitmask(1, len(words))
    matcher.fill_next_token_bitmask(bits)
    assert int(bits[0, 0]) >> 2 & 1
    assert not matcher.fork().accept_token(2)
