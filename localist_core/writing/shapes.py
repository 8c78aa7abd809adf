"""What a JSON text may look like: a small closed set of shapes, and what can be asked of them; no torch.

A shape is narrower than the schema that it was read from wherever JSON Schema leaves something open: numbers without
exponent and with a stated number of digits, no fields beyond the declared ones. It never allows more.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias, assert_never

from localist_core.writing.pattern import Pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number k / 10 ** decimals with low <= k <= high, written without an exponent."""

    low: int
    high: int
    decimals: int
    """Most digits behind the point; 0 = a whole number."""


@dataclass(frozen=True, slots=True)
class Text:
    """A string of so many characters (code points), all of which JSON writes as they are: no quotes, no backslashes, no
    control characters.
    """

    least: int
    most: int | None
    """None = no limit."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """One of these values."""

    texts: tuple[str, ...]
    """JSON texts of the values, all different."""

    @property
    def values(self) -> tuple[object, ...]:
        """The values themselves."""
        return tuple(parsed(text) for text in self.texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """An array."""

    prefix: tuple[Shape, ...]
    """Shapes of the first elements."""
    rest: Shape | None
    """Shape of the others; None = there are no others."""
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an object."""

    name: str
    shape: Shape
    is_required: bool


@dataclass(frozen=True, slots=True)
class Record:
    """An object of these fields, written in this order and without others."""

    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Union:
    """Anything that one of these allows."""

    shapes: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Named:
    """A shape by name, so that shapes may hold themselves."""

    name: str


Shape: TypeAlias = Number | Text | Pattern | Fixed | Items | Record | Union | Named
Definitions: TypeAlias = Mapping[str, Shape]
"""Name -> shape, of every `Named`."""


def parsed(text: str) -> object:
    """A JSON text as values, numbers exact (`int` and `Decimal`).

    Raises:
        ValueError: no JSON.
    """
    return json.loads(text, parse_float=Decimal)


def accepts(shape: Shape, value: object, definitions: Definitions) -> bool:
    """Whether a value, as `parsed` gives it, has this shape: the specification that the grammar is tested against."""
    match shape:
        case Number():
            is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
            return is_number and _is_between(Decimal(value), shape)  # type: ignore[arg-type]  # is_number says so
        case Text():
            return isinstance(value, str) and _accepts_text(shape, value)
        case Pattern():
            return isinstance(value, str) and shape.matches(value)
        case Fixed():
            return any(is_same(value, known) for known in shape.values)
        case Items():
            return isinstance(value, list) and _accepts_items(shape, value, definitions)
        case Record():
            return isinstance(value, dict) and _accepts_fields(shape, value, definitions)
        case Union():
            return any(accepts(one, value, definitions) for one in shape.shapes)
        case Named():
            return accepts(definitions[shape.name], value, definitions)
        case _:
            assert_never(shape)


def is_same(one: object, other: object) -> bool:
    """Equality of JSON values: 1 and 1.0 are the same, 1 and true are not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    return one == other


def excludes(one: Shape, other: Shape, definitions: Definitions, depth: int = 8) -> bool:
    """Whether nothing of the first shape can be allowed by the *schema* of the other; False where that is not plain.

    Args:
        one: what is written.
        other: a shape; its schema may allow more than it, such as further fields and more decimals.
        definitions: of both.
        depth: names and fields that are looked into.
    """
    one, other = _resolved(one, definitions), _resolved(other, definitions)
    if depth == 0:
        return False
    if isinstance(one, Union):
        return all(excludes(part, other, definitions, depth - 1) for part in one.shapes)
    if isinstance(other, Union):
        return all(excludes(one, part, definitions, depth - 1) for part in other.shapes)
    if isinstance(one, Record) and isinstance(other, Record):
        theirs = {field.name: field for field in other.fields}
        ours = {field.name for field in one.fields}
        return any(name not in ours and field.is_required for name, field in theirs.items()) or any(
            field.is_required
            and field.name in theirs
            and excludes(field.shape, theirs[field.name].shape, definitions, depth - 1)
            for field in one.fields
        )
    if isinstance(one, Fixed) and isinstance(other, Fixed):
        return not any(is_same(mine, known) for mine in one.values for known in other.values)
    return _kinds(one).isdisjoint(_kinds(other))


def is_self_delimiting(shape: Shape, definitions: Definitions) -> bool:
    """Whether the text of such a value shows its own end: no text of the shape is the beginning of another."""
    members = _members(shape, definitions, frozenset())
    texts = [text for one in members if isinstance(one, Fixed) for text in one.texts]
    is_prefix = any(a != b and b.startswith(a) for a in texts for b in texts)
    return not is_prefix and not any(isinstance(one, Number) for one in members)


def finite_names(definitions: Definitions) -> frozenset[str]:
    """Names of the shapes that some text of finite length has; the others can only go on forever."""
    finite: frozenset[str] = frozenset()
    while True:
        more = frozenset(name for name, shape in definitions.items() if is_finite(shape, finite))
        if more == finite:
            return finite
        finite = more


def is_finite(shape: Shape, names: frozenset[str]) -> bool:
    """Whether some text of finite length has this shape, given the names of which some has."""
    match shape:
        case Union():
            return any(is_finite(one, names) for one in shape.shapes)
        case Record():
            return all(is_finite(field.shape, names) for field in shape.fields if field.is_required)
        case Items():
            needed = shape.prefix[: shape.least]
            rest = (shape.rest,) if shape.rest is not None and shape.least > len(shape.prefix) else ()
            return all(is_finite(one, names) for one in (*needed, *rest))
        case Named():
            return shape.name in names
        case _:
            return True


def _is_between(value: Decimal, shape: Number) -> bool:
    scaled = value.scaleb(shape.decimals)
    return scaled == scaled.to_integral_value() and shape.low <= scaled <= shape.high


def _accepts_text(shape: Text, value: str) -> bool:
    is_plain = not any(character in '"\\' or unicodedata.category(character) in ("Cc", "Cs") for character in value)
    return is_plain and shape.least <= len(value) <= (len(value) if shape.most is None else shape.most)


def _accepts_items(shape: Items, values: list[object], definitions: Definitions) -> bool:
    if len(values) < shape.least or (shape.most is not None and len(values) > shape.most):
        return False
    shapes = [*shape.prefix, *([shape.rest] * (len(values) - len(shape.prefix)) if shape.rest is not None else [])]
    return len(values) <= len(shapes) and all(
        accepts(one, value, definitions) for one, value in zip(shapes, values, strict=False)
    )


def _accepts_fields(shape: Record, values: dict[str, object], definitions: Definitions) -> bool:
    fields = {field.name: field for field in shape.fields}
    missing = any(field.is_required and field.name not in values for field in shape.fields)
    return not missing and all(
        name in fields and accepts(fields[name].shape, value, definitions) for name, value in values.items()
    )


def _resolved(shape: Shape, definitions: Definitions) -> Shape:
    seen: set[str] = set()
    while isinstance(shape, Named) and shape.name not in seen:
        seen.add(shape.name)
        shape = definitions[shape.name]
    return shape


def _members(shape: Shape, definitions: Definitions, seen: frozenset[str]) -> list[Shape]:
    """What a shape may be, unions and names taken apart."""
    if isinstance(shape, Named):
        return [] if shape.name in seen else _members(definitions[shape.name], definitions, seen | {shape.name})
    if isinstance(shape, Union):
        return [member for one in shape.shapes for member in _members(one, definitions, seen)]
    return [shape]


def _kinds(shape: Shape) -> frozenset[str]:
    """Kinds of JSON value that the shape may have; all of them where it is not plain."""
    match shape:
        case Number():
            return frozenset({"number"})
        case Text() | Pattern():
            return frozenset({"string"})
        case Items():
            return frozenset({"array"})
        case Record():
            return frozenset({"object"})
        case Fixed():
            return frozenset(_kind(value) for value in shape.values)
        case Union() | Named():
            return frozenset({"number", "string", "array", "object", "boolean", "null"})
        case _:
            assert_never(shape)


def _kind(value: object) -> str:
    kinds = {bool: "boolean", int: "number", Decimal: "number", str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), "null")
