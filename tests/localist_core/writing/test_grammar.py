"""Every text of a grammar is a value of its schema: random models, random texts, three judges."""

from __future__ import annotations

import json
import random
from decimal import Decimal

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localist_core.errors import MissingExtraError, SchemaError, TextError
from localist_core.writing.ebnf import literals
from localist_core.writing.grammar import Grammars, library
from localist_core.writing.schema import schema_of
from localist_core.writing.shapes import accepts, parsed
from localist_core.writing.validation import value_of
from tests.localist_core import schemas, tiny, vocabularies

KINDS = ("byte-level", "unigram", "byte-fallback", "json-level")


@pytest.fixture(scope="module")
def byte_level() -> Grammars:
    return schemas.grammars()


@pytest.fixture(scope="module")
def json_level() -> Grammars:
    """Of a tokenizer with tokens across every border of JSON."""
    return schemas.grammars("json-level")


def field(kind: str, **bounds: object) -> dict[str, object]:
    """An object with one field `v`."""
    return {"type": "object", "properties": {"v": {"type": kind, **bounds}}, "required": ["v"]}


@settings(max_examples=120)
@given(model=schemas.models(), seed=st.integers(0, 2**32))
def test_random_text_of_a_random_model_passes_the_shapes_jsonschema_and_pydantic(
    byte_level, json_level, model, seed
) -> None:
    schema, raw = schema_of(model), model.model_json_schema()
    judge = jsonschema.Draft202012Validator(without_steps(raw))
    for n, grammars in enumerate((byte_level, json_level, json_level)):
        text = schemas.drawn(grammars, schema, seed + n)
        if text is None:
            continue
        assert accepts(schema.root, parsed(text), schema.definitions)
        judge.validate(json.loads(text))
        model.model_validate_json(text)


def without_steps(raw: object) -> object:
    """jsonschema divides floats to judge `multipleOf`; the shapes and pydantic judge it here."""
    if isinstance(raw, dict):
        return {key: without_steps(value) for key, value in raw.items() if key != "multipleOf"}
    return [without_steps(value) for value in raw] if isinstance(raw, list) else raw


@given(low=st.integers(-(10**6), 10**6), size=st.integers(0, 10**6), decimals=st.integers(0, 4), data=st.data())
def test_grammar_of_a_range_holds_exactly_its_numbers(byte_level, low, size, decimals, data) -> None:
    high = low + size
    kind = "integer" if decimals == 0 else "number"
    ends = [float(Decimal(end).scaleb(-decimals)) if decimals else end for end in (low, high)]
    schema = schema_of(field(kind, minimum=ends[0], maximum=ends[1]))
    near = [low - 1, low, low + 1, high - 1, high, high + 1, 0, data.draw(st.integers(low, high))]
    for number in (*near, data.draw(st.integers(-(2 * 10**6), 2 * 10**6))):
        text = f"{Decimal(number).scaleb(-decimals):f}"
        is_inside = low <= number <= high
        assert schemas.is_text(byte_level, schema, f'{{"v":{text}}}') is is_inside, (text, ends)


@pytest.mark.parametrize(
    "text", ["-0", "00", "01", "1e1", "+1", "1.", ".5", "1.0000000", "NaN", "Infinity", '"1"', "0x1"]
)
def test_grammar_of_a_number_refuses_other_spellings(byte_level, text) -> None:
    assert not schemas.is_text(byte_level, schema_of(field("number", minimum=-2, maximum=20)), f'{{"v":{text}}}')


@pytest.mark.parametrize(
    ("low", "high", "inside", "outside"),
    [
        (0, 30, ["0", "30", "7"], ["31", "99", "-1", "300"]),
        (-17, 5, ["-17", "-1", "0", "5"], ["-18", "6", "-170"]),
        (0.1234564, 0.1234566, ["0.1234564", "0.1234565", "0.1234566"], ["0.1234567", "0.123456", "0.2"]),
        (1e-7, 1e-6, ["0.0000001", "0.0000009", "0.000001"], ["0", "0.0000011", "0.00000005"]),
        (0, 0.6666666666666666, ["0.6666666666666666", "0.1", "0"], ["0.6666666666666667", "0.7", "1"]),
    ],
)
def test_bounds_of_numbers_hold(byte_level, low, high, inside, outside) -> None:
    schema = schema_of(
        field("integer" if isinstance(low, int) and isinstance(high, int) else "number", minimum=low, maximum=high)
    )
    assert [text for text in inside if not schemas.is_text(byte_level, schema, f'{{"v":{text}}}')] == []
    assert [text for text in outside if schemas.is_text(byte_level, schema, f'{{"v":{text}}}')] == []


def test_exclusive_bound_holds_for_a_reader_in_floats(byte_level) -> None:
    """0.30000000000000001 is above 0.3 in decimals, and 0.3 in floats."""
    schema = schema_of(field("number", exclusiveMinimum=0.3, maximum=0.30000000000000016))
    assert not schemas.is_text(byte_level, schema, '{"v":0.30000000000000001}')
    assert schemas.is_text(byte_level, schema, '{"v":0.30000000000000005}')


@pytest.mark.parametrize("kind", KINDS)
def test_texts_of_every_kind_of_tokenizer_are_values(kind) -> None:
    grammars, schema = schemas.grammars(kind), schema_of(schemas.Drive)
    texts = [schemas.drawn(grammars, schema, seed) for seed in range(20)]
    assert len({type(schemas.Drive.model_validate_json(text).act) for text in texts if text}) >= 2


def test_word_level_tokenizer_spells_json_from_its_characters() -> None:
    grammars, schema = Grammars(tiny.tokenizer(), tiny.SIZE), schema_of(schemas.Drive)
    for seed in range(10):
        text = schemas.drawn(grammars, schema, seed)
        assert text is None or schemas.Drive.model_validate_json(text)


@pytest.mark.parametrize("kind", KINDS)
def test_no_special_token_and_no_slot_is_ever_allowed(kind) -> None:
    """At every place of free text, and of a constant that spells one."""
    tokenizer = schemas.json_level() if kind == "json-level" else vocabularies.KINDS[kind]()
    grammars = schemas.grammars(kind)
    special = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
    slots = {i for token, i in tokenizer.get_vocab().items() if token.strip("▁Ġ") in ("R3", "R3:")}
    beyond = set(range(len(tokenizer), len(grammars.tokens)))
    schema = schema_of(
        {
            "type": "object",
            "properties": {"rule": {"enum": ["R3", "<think>"]}, "why": {"type": "string", "maxLength": 20}},
            "required": ["rule", "why"],
        }
    )
    for seed in range(5):
        matcher, source = grammars.matcher(schema), random.Random(seed)
        while not matcher.is_done:
            allowed = matcher.allowed().tolist()
            assert not {*special, *slots, *beyond} & set(allowed)
            matcher.accept(source.choice(allowed))


def test_token_that_is_not_allowed_is_an_error(byte_level) -> None:
    matcher = byte_level.matcher(schema_of(schemas.Drive))
    with pytest.raises(TextError, match="expected a token that the grammar allows"):
        matcher.accept(byte_level.tokens.index(b"}"))


def test_constant_that_the_tokenizer_cannot_spell_is_refused() -> None:
    with pytest.raises(SchemaError, match='can spell, got `"你"`'):
        Grammars(tiny.tokenizer(), tiny.SIZE).matcher(
            schema_of(field("string") | {"properties": {"v": {"const": "你"}}})
        )


def test_many_constants_hold_no_other(json_level) -> None:
    """As in xgrammar issue 618, where a long list of names let others through."""
    names = [f"object_{n}_{'abc'[n % 3]}" for n in range(1200)]
    schema = schema_of({"type": "object", "properties": {"v": {"enum": names}}, "required": ["v"]})
    texts = [schemas.drawn(json_level, schema, seed) for seed in range(60)]
    assert {json.loads(text)["v"] for text in texts if text} <= set(names)
    for other in ("object_7_a", "object_1200_a", "object_1", "object_", "object_77_cc"):
        assert not schemas.is_text(json_level, schema, f'{{"v":"{other}"}}')


@pytest.mark.parametrize("most", [0, 1, 7, 200])
def test_length_holds_where_tokens_cross_the_end_of_the_string(json_level, most) -> None:
    schema = schema_of(field("string", minLength=most // 2, maxLength=most))
    for seed in range(4):
        text = schemas.drawn(json_level, schema, seed)
        assert text is None or most // 2 <= len(json.loads(text)["v"]) <= most


@pytest.mark.parametrize("inside", ["\n", "\x00", "\x1f", "\x7f", '"', "\\", "\\u0041", "\\n"])
def test_string_that_json_must_escape_is_no_text(byte_level, inside) -> None:
    assert not schemas.is_text(byte_level, schema_of(field("string")), f'{{"v":"{inside}"}}')


@pytest.mark.parametrize("raw", [b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xff", b"\xe4\xbd"])
def test_bytes_that_are_no_utf8_are_no_text(byte_level, raw) -> None:
    """Token by token: halves of surrogate pairs, long forms, beyond the last character, cut short."""
    matcher = byte_level.matcher(schema_of(field("string")))
    for byte in b'{"v":"' + raw + b'"':
        token = byte_level.tokens.index(bytes([byte]))
        if token not in matcher.allowed().tolist():
            return
        matcher.accept(token)
    pytest.fail("it was a text")


def test_text_nested_beyond_what_json_reads_is_no_value() -> None:
    raw = {"$defs": {"n": {"type": "array", "items": {"$ref": "#/$defs/n"}, "maxItems": 1}}, "$ref": "#/$defs/n"}
    assert value_of(b"[[]]", schema_of(raw), raw) == [[]]
    with pytest.raises(TextError, match="cannot be read"):
        value_of(b"[" * 5000 + b"]" * 5000, schema_of(raw), raw)


def test_grammars_are_compiled_once_and_forgotten_by_age(byte_level) -> None:
    made = Grammars(vocabularies.byte_level(), schemas.SIZE, capacity=2)
    first, second, third = (schema_of(field("integer", minimum=n)) for n in range(3))
    for schema in (first, second, first, third):
        made.matcher(schema)
    assert [key[0] for key in made._compiled] == [first.sha256, third.sha256]


def test_literals_are_what_every_text_is_put_together_from() -> None:
    assert literals(schema_of(field("boolean"))) == {"{", "}", ":", '"v"', "true", "false"}


def test_missing_library_is_one_line_that_says_what_to_install() -> None:
    with pytest.raises(MissingExtraError) as raised:
        library("xgrammar_that_is_not_there")
    assert str(raised.value) == (
        "expected the library xgrammar_that_is_not_there for open choices, got none; "
        "run `pip install localist-agents[grammar]`"
    )
