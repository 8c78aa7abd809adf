"""From a pydantic model or a JSON Schema to shapes; what a grammar cannot hold exactly is refused by name; no torch.

Nothing is ignored: a keyword is an annotation (`title`), is honoured, or is a `SchemaError` with its name and place.
Validators of a pydantic model in Python are no part of its schema: pydantic runs them last, on the finished text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from typing import Final, TypeAlias, cast

from pydantic import BaseModel, JsonValue
from pydantic.errors import PydanticUserError

from localist_core.errors import SchemaError
from localist_core.writing.decimals import BOUNDS, number_of
from localist_core.writing.pattern import pattern_of
from localist_core.writing.shapes import (
    Definitions,
    Field,
    Fixed,
    Items,
    Named,
    Record,
    Shape,
    Text,
    Union,
    excludes,
    finite_names,
    is_finite,
    is_self_delimiting,
)

ANNOTATIONS: Final = frozenset(
    {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment", "$schema"}
    | {"$defs", "definitions", "discriminator"}
)
"""Keywords that say nothing about which values are allowed. A `discriminator` stands beside a `oneOf` that does."""

KEYWORDS: Final[Mapping[str, frozenset[str]]] = {
    "integer": BOUNDS,
    "number": BOUNDS,
    "string": frozenset({"minLength", "maxLength", "pattern"}),
    "boolean": frozenset(),
    "null": frozenset(),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems", "uniqueItems"}),
    "object": frozenset({"properties", "required", "additionalProperties"}),
}
"""What may stand beside each `type`."""

Node: TypeAlias = Mapping[str, object]
"""A JSON Schema that is an object."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema, ready for a grammar."""

    root: Shape
    definitions: Definitions
    sha256: str
    """Of the JSON Schema as given, the order of its fields included, in hex."""


def schema_of(schema: type[BaseModel] | Mapping[str, JsonValue]) -> Schema:
    """Read a schema.

    Args:
        schema: a pydantic model class, or a JSON Schema (2020-12) as Python values.

    Raises:
        SchemaError: a keyword or a combination that the grammar cannot hold exactly, by name and place; a schema of
            which no text is finite, or whose text does not show its own end.
    """
    if isinstance(schema, type):
        return _of_model(schema)
    try:
        return _of_text(json.dumps(schema, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise SchemaError(f"expected a JSON Schema of JSON values, got one that is not ({error})") from error


@lru_cache(maxsize=256)
def _of_model(model: type[BaseModel]) -> Schema:
    try:
        return schema_of(model.model_json_schema())
    except PydanticUserError as error:
        first = str(error).splitlines()[0].rstrip(".")
        raise SchemaError(f"expected a model with a JSON Schema, got `{model.__name__}`: {first}") from error


@lru_cache(maxsize=256)
def _of_text(text: str) -> Schema:
    raw: Node = json.loads(text)
    reader = _Reader(raw)
    root = reader.shape(raw, "#")
    reader.check_alternatives()
    definitions = reader.definitions
    if not is_finite(root, finite_names(definitions)):
        raise SchemaError("expected a schema with texts of finite length, got one that holds itself without an end")
    if not is_self_delimiting(root, definitions):
        raise SchemaError("expected a text that shows its own end, got a bare number; make it a field of an object")
    return Schema(root, definitions, hashlib.sha256(text.encode()).hexdigest())


class _Reader:
    """Reads one schema; `definitions` grows with the references met."""

    def __init__(self, whole: Node) -> None:
        self.whole = whole
        self.definitions: dict[str, Shape] = {}
        self.alternatives: list[tuple[str, tuple[Shape, ...]]] = []
        """Place and shapes of each `oneOf`, to be compared when all references are read."""

    def shape(self, node: object, where: str) -> Shape:
        """The shape of a schema at a place, a JSON pointer."""
        if not isinstance(node, Mapping):
            what = "any value" if node is True else "no value" if node is False else "something else"
            raise SchemaError(f"expected a schema at `{where}`, got one that allows {what}; give the field a type")
        said = frozenset(node) - ANNOTATIONS
        for keyword, read in self._forms().items():
            if keyword in said:
                _only(node, {keyword, "type"} if keyword in ("enum", "const") else {keyword}, where)
                return read(node, where)
        kinds = node.get("type")
        if isinstance(kinds, list) and kinds:
            unknown = said - {"type"} - frozenset().union(*(KEYWORDS.get(str(kind), frozenset()) for kind in kinds))
            if unknown:
                raise _refusal(min(unknown), where)
            return Union(tuple(self._typed(_narrowed(node, str(kind)), where) for kind in kinds))
        if kinds not in KEYWORDS:
            raise SchemaError(f"expected a `type` at `{where}`, got `{kinds}`; give one of {', '.join(KEYWORDS)}")
        return self._typed(node, where)

    def _forms(self) -> dict[str, Callable[[Node, str], Shape]]:
        """Schemas that are not told by their type."""
        return {
            "$ref": self._reference,
            "allOf": self._all_of,
            "anyOf": self._any_of,
            "oneOf": self._one_of,
            "const": lambda node, where: _fixed([node["const"]], node, where),
            "enum": lambda node, where: _fixed(_list(node["enum"], where), node, where),
        }

    def _typed(self, node: Node, where: str) -> Shape:
        kind = str(node["type"])
        _only(node, KEYWORDS.get(kind, frozenset()) | {"type"}, where)
        match kind:
            case "integer" | "number":
                return number_of(node, where)
            case "string":
                return _text(node, where)
            case "boolean":
                return Fixed(("true", "false"))
            case "null":
                return Fixed(("null",))
            case "array":
                return self._items(node, where)
            case "object":
                return self._record(node, where)
            case _:
                raise SchemaError(f"expected one of the types {', '.join(KEYWORDS)} at `{where}`, got `{kind}`")

    def _reference(self, node: Node, where: str) -> Shape:
        name = node["$ref"]
        if not isinstance(name, str) or not name.startswith("#"):
            raise SchemaError(f"expected a `$ref` within the schema at `{where}`, got `{name}`")
        if name not in self.definitions:
            self.definitions[name] = Named(name)  # until it is read: it may hold itself
            self.definitions[name] = self.shape(self._at(name, where), name)
        return Named(name)

    def _at(self, pointer: str, where: str) -> object:
        place: object = self.whole
        for part in pointer.removeprefix("#").split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(place, Mapping) or key not in place:
                raise SchemaError(f"expected a `$ref` to a part of the schema at `{where}`, got `{pointer}`")
            place = place[key]
        return place

    def _all_of(self, node: Node, where: str) -> Shape:
        parts = _list(node["allOf"], where)
        if len(parts) != 1:
            raise _refusal("allOf", where)
        return self.shape(parts[0], f"{where}/allOf/0")

    def _any_of(self, node: Node, where: str) -> Shape:
        parts = _list(node["anyOf"], where)
        return Union(tuple(self.shape(part, f"{where}/anyOf/{n}") for n, part in enumerate(parts)))

    def _one_of(self, node: Node, where: str) -> Shape:
        parts = _list(node["oneOf"], where)
        shapes = tuple(self.shape(part, f"{where}/oneOf/{n}") for n, part in enumerate(parts))
        self.alternatives.append((where, shapes))
        return Union(shapes)

    def check_alternatives(self) -> None:
        """Refuse a `oneOf` of which a value might match two alternatives."""
        for where, shapes in self.alternatives:
            for n, m in permutations(range(len(shapes)), 2):
                if not excludes(shapes[n], shapes[m], self.definitions):
                    raise SchemaError(
                        f"expected alternatives of `oneOf` that exclude each other at `{where}`, got {n} and {m}; "
                        f"give them a field with different constants, or say `anyOf`"
                    )

    def _items(self, node: Node, where: str) -> Items:
        if node.get("uniqueItems", False) is not False:
            raise _refusal("uniqueItems", where)
        first = _list(node["prefixItems"], where) if "prefixItems" in node else []
        prefix = tuple(self.shape(part, f"{where}/prefixItems/{n}") for n, part in enumerate(first))
        items = node.get("items", not prefix)
        rest = None if items is False else self.shape(items, f"{where}/items")
        least, most = _counts(node, "minItems", "maxItems", where)
        if rest is None:
            most = len(prefix) if most is None else min(most, len(prefix))
        return Items(prefix=prefix, rest=rest, least=least, most=_in_order(least, most, where))

    def _record(self, node: Node, where: str) -> Record:
        if node.get("additionalProperties", False) not in (True, False):
            raise SchemaError(
                f"expected declared fields only at `{where}`, got `additionalProperties` with a schema of its own; "
                f"make it an array of pairs"
            )
        fields = node.get("properties", {})
        if not isinstance(fields, Mapping):
            raise SchemaError(f"expected `properties` as an object at `{where}`, got something else")
        required = _list(node["required"], where) if node.get("required") else []
        unknown = [name for name in required if name not in fields]
        if unknown:
            raise SchemaError(f"expected required fields that are declared at `{where}`, got `{unknown[0]}`")
        return Record(
            tuple(
                Field(str(name), self.shape(part, f"{where}/properties/{name}"), name in required)
                for name, part in fields.items()
            )
        )


def _only(node: Node, known: frozenset[str] | set[str], where: str) -> None:
    unknown = frozenset(node) - ANNOTATIONS - known
    if unknown:
        raise _refusal(min(unknown), where)


def _narrowed(node: Node, kind: str) -> Node:
    """The same for one of its types: each takes the keywords that speak of it."""
    return {key: value for key, value in node.items() if key in KEYWORDS.get(kind, frozenset())} | {"type": kind}


def _fixed(values: Sequence[object], node: Node, where: str) -> Fixed:
    kind = node.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    texts = [_written(value) for value in values if kind is None or any(_is_of(value, one) for one in kinds)]
    if not texts:
        raise SchemaError(f"expected a value of type `{kind}` at `{where}`, got none in the enumeration")
    return Fixed(tuple(dict.fromkeys(texts)))


def _written(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _is_of(value: object, kind: object) -> bool:
    """Whether a value is of a type of JSON Schema."""
    match value:
        case None:
            return kind == "null"
        case bool():
            return kind == "boolean"
        case int() | float():
            return kind == "number" or (kind == "integer" and value == int(value))
        case str():
            return kind == "string"
        case list():
            return kind == "array"
        case _:
            return kind == "object"


def _text(node: Node, where: str) -> Shape:
    if "pattern" in node:
        if "minLength" in node or "maxLength" in node:
            raise SchemaError(f"expected a length within the `pattern` at `{where}`, got a length beside it")
        return pattern_of(str(node["pattern"]))
    return Text(*_counts(node, "minLength", "maxLength", where))


def _counts(node: Node, lower: str, upper: str, where: str) -> tuple[int, int | None]:
    least, most = node.get(lower, 0), node.get(upper)
    for keyword, count in ((lower, least), (upper, most)):
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 0):
            raise SchemaError(f"expected a count of 0 or more as `{keyword}` at `{where}`, got `{count}`")
    return cast(int, least), _in_order(cast(int, least), cast("int | None", most), where)


def _in_order(least: int, most: int | None, where: str) -> int | None:
    if most is not None and most < least:
        raise SchemaError(f"expected room for at least {least} at `{where}`, got at most {most}")
    return most


def _list(value: object, where: str) -> list[object]:
    if not isinstance(value, list) or not value:
        raise SchemaError(f"expected a list that is not empty at `{where}`, got `{value}`")
    return value


def _refusal(keyword: str, where: str) -> SchemaError:
    return SchemaError(
        f"expected keywords that a grammar holds exactly, got `{keyword}` at `{where}`; "
        f"leave it out, or check it in the model's own validator"
    )
