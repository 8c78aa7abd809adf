"""What a schema may say, and what is refused by keyword and place."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import BaseModel, Field

from localist_core.errors import SchemaError
from localist_core.writing.schema import schema_of
from localist_core.writing.shapes import Field as Member
from localist_core.writing.shapes import Fixed, Items, Named, Number, Record, Text, Union, accepts, parsed


def shape_of(schema: object, **whole: object) -> object:
    """The shape of a schema as the one field of an object."""
    read = schema_of({"type": "object", "properties": {"v": schema}, "required": ["v"], **whole})
    assert isinstance(read.root, Record)
    return read.root.fields[0].shape


@pytest.mark.parametrize(
    ("schema", "shape"),
    [
        ({"type": "integer", "minimum": 0, "maximum": 30}, Number(low=0, high=30, decimals=0)),
        ({"type": "integer", "minimum": 0.5, "exclusiveMaximum": 4}, Number(low=1, high=3, decimals=0)),
        ({"type": "integer", "exclusiveMinimum": -1, "maximum": 3.5}, Number(low=0, high=3, decimals=0)),
        ({"type": "number", "minimum": 0, "maximum": 0.5}, Number(low=0, high=500_000, decimals=6)),
        ({"type": "number", "minimum": 1e-9, "maximum": 1e-8}, Number(low=1, high=10, decimals=9)),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, Number(low=1, high=999_999, decimals=6)),
        ({"type": "number", "minimum": 0, "maximum": 1, "multipleOf": 0.5}, Fixed(("0", "0.5", "1"))),
        ({"type": "integer", "minimum": -20, "maximum": 20, "multipleOf": 15}, Fixed(("-15", "0", "15"))),
        ({"type": "integer", "minimum": 0, "maximum": 3, "multipleOf": 1.5}, Fixed(("0", "3"))),
        ({"type": "number", "minimum": 1e21, "maximum": 2e21, "multipleOf": 1e21, "title": "far"}, None),
        ({"type": "string", "maxLength": 3}, Text(0, 3)),
        ({"enum": ["x", 1, None, True, {"a": [1]}]}, Fixed(('"x"', "1", "null", "true", '{"a":[1]}'))),
        ({"enum": ["x", 1, 1.0], "type": ["integer", "null"]}, Fixed(("1", "1.0"))),
        ({"const": "a", "type": "string", "description": "a"}, Fixed(('"a"',))),
        ({"type": ["boolean", "null"]}, Union((Fixed(("true", "false")), Fixed(("null",))))),
        (
            {"type": ["integer", "null"], "minimum": 0, "maximum": 2},
            Union((Number(low=0, high=2, decimals=0), Fixed(("null",)))),
        ),
        (
            {"type": "array", "items": {"const": 1}, "minItems": 1},
            Items(prefix=(), rest=Fixed(("1",)), least=1, most=None),
        ),
        (
            {"type": "array", "prefixItems": [{"const": 1}], "maxItems": 3},
            Items(prefix=(Fixed(("1",)),), rest=None, least=0, most=1),
        ),
        ({"allOf": [{"const": 1}], "default": 1}, Fixed(("1",))),
        ({"type": "object", "properties": {"a": {"const": 1}}}, Record((Member("a", Fixed(("1",)), False),))),
    ],
)
def test_schema_is_read_as_a_shape(schema, shape) -> None:
    if shape is None:
        with pytest.raises(SchemaError, match="got none"):
            shape_of(schema)
    else:
        assert shape_of(schema) == shape


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "array", "items": {"const": 1}, "uniqueItems": True}, "got `uniqueItems` at `#/properties/v`"),
        ({"type": "string", "format": "date"}, "got `format`"),
        ({"type": "integer", "minimun": 3}, "got `minimun`"),
        ({"type": "string", "minimum": 3}, "got `minimum`"),
        ({"type": "integer", "not": {"const": 3}}, "got `not`"),
        ({"enum": [1, 2], "minimum": 2}, "got `minimum`"),
        ({"anyOf": [{"const": 1}], "minimum": 2}, "got `minimum`"),
        ({"allOf": [{"const": 1}, {"const": 2}]}, "got `allOf`"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "`additionalProperties` with a schema"),
        ({"type": "object", "properties": {}, "required": ["z"]}, "required fields that are declared"),
        ({"type": "array"}, "allows any value"),
        ({}, "expected a `type`"),
        ({"type": "date"}, "expected a `type`"),
        ({"type": ["integer", "date"]}, "expected one of the types"),
        (True, "allows any value"),
        (False, "allows no value"),
        ({"const": 1, "type": "string"}, "got none in the enumeration"),
        ({"enum": []}, "a list that is not empty"),
        ({"type": "integer", "minimum": 5, "maximum": 1}, "expected bounds with a number"),
        ({"type": "number", "minimum": 0, "maximum": 1, "multipleOf": 0}, "expected a `multipleOf` above 0"),
        ({"type": "integer", "multipleOf": 2}, "at most 4096 multiples"),
        ({"type": "integer", "minimum": 1, "maximum": 4, "multipleOf": 5}, "expected a multiple of `5` within bounds"),
        ({"type": "integer", "minimum": "0"}, "expected a number as `minimum`"),
        ({"type": "string", "minLength": 4, "maxLength": 2}, "expected room for at least 4"),
        ({"type": "string", "maxLength": -1}, "expected a count"),
        ({"type": "array", "prefixItems": [{"const": 1}], "minItems": 2}, "expected room for at least 2"),
        ({"$ref": "https://example.org/a.json"}, "expected a `$ref` within the schema"),
        ({"$ref": "#/$defs/none"}, "expected a `$ref` to a part of the schema"),
        (
            {"oneOf": [{"type": "integer", "maximum": 5}, {"type": "number", "minimum": 3}]},
            "exclude each other at `#/properties/v`, got 0 and 1",
        ),
    ],
)
def test_what_no_grammar_holds_is_refused_by_name_and_place(schema, said) -> None:
    with pytest.raises(SchemaError) as raised:
        shape_of(schema)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    "parts",
    [
        [{"type": "integer"}, {"type": "string"}, {"type": "null"}],
        [{"const": "a"}, {"enum": ["b", 1]}],
        [
            {"type": "object", "properties": {"kind": {"const": "a"}}, "required": ["kind"]},
            {"type": "object", "properties": {"kind": {"const": "b"}, "x": {"type": "integer"}}, "required": ["kind"]},
        ],
        [
            {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {"const": 1}}, "required": ["b"]},
        ],
    ],
)
def test_alternatives_that_exclude_each_other_are_one_of_them(parts) -> None:
    assert isinstance(shape_of({"oneOf": parts}), Union)


@pytest.mark.parametrize(
    "parts",
    [
        [{"const": 1}, {"const": 1.0}],
        [{"type": "string"}, {"const": "a"}],
        [
            {"type": "object", "properties": {"kind": {"const": "a"}}},
            {"type": "object", "properties": {"kind": {"const": "b"}}, "required": ["kind"]},
        ],
    ],
)
def test_alternatives_that_may_both_match_are_refused(parts) -> None:
    with pytest.raises(SchemaError, match="exclude each other"):
        shape_of({"oneOf": parts})


class Leaf(BaseModel):
    kind: Literal["leaf"]


class Branch(BaseModel):
    kind: Literal["branch"]
    parts: tuple[Tree, Tree] = Field()


class Tree(BaseModel):
    node: Leaf | Branch = Field(discriminator="kind")


class Endless(BaseModel):
    again: Endless


def test_model_that_holds_itself_is_read_by_name() -> None:
    schema = schema_of(Tree)
    assert isinstance(schema.root, Named)
    text = '{"node":{"kind":"branch","parts":[{"node":{"kind":"leaf"}},{"node":{"kind":"leaf"}}]}}'
    assert accepts(schema.root, parsed(text), schema.definitions)
    assert not accepts(schema.root, parsed(text.replace("leaf", "root")), schema.definitions)


@pytest.mark.parametrize(
    "schema",
    [
        Endless,
        {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}, "minItems": 1}}, "$ref": "#/$defs/a"},
    ],
)
def test_schema_without_an_end_is_refused(schema) -> None:
    with pytest.raises(SchemaError, match="finite length"):
        schema_of(schema)


@pytest.mark.parametrize(
    "schema", [{"type": "integer"}, {"enum": [1, 12]}, {"anyOf": [{"const": "a"}, {"type": "number"}]}]
)
def test_text_that_does_not_show_its_end_is_refused(schema) -> None:
    with pytest.raises(SchemaError, match="shows its own end"):
        schema_of(schema)


@pytest.mark.parametrize(
    "schema", [{"enum": [1, 2, "a"]}, {"type": "string"}, {"type": "array", "items": {"type": "number"}}]
)
def test_text_that_shows_its_end_may_stand_alone(schema) -> None:
    assert schema_of(schema).definitions == {}


def test_schema_that_is_no_json_is_refused() -> None:
    with pytest.raises(SchemaError, match="JSON values"):
        schema_of({"enum": [float("nan")]})


class Opaque(BaseModel):
    model_config = {"arbitrary_types_allowed": True}
    thing: object.__class__


def test_model_without_a_json_schema_is_refused() -> None:
    with pytest.raises(SchemaError, match="expected a model with a JSON Schema, got `Opaque`"):
        schema_of(Opaque)


@pytest.mark.parametrize(
    ("value", "is_value"),
    [
        ("[1, 0.5]", True),
        ("[1.0, 0.50]", True),
        ("[true, 0.5]", False),
        ("[1, 0.51]", False),
        ("[1]", False),
        ("1", False),
    ],
)
def test_accepts_tells_values_from_others(value, is_value) -> None:
    schema = schema_of(
        {
            "type": "array",
            "prefixItems": [{"type": "integer"}, {"type": "number", "multipleOf": 0.5, "minimum": 0, "maximum": 1}],
            "minItems": 2,
        }
    )
    assert accepts(schema.root, parsed(value), schema.definitions) is is_value
