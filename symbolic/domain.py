"""What may be perceived and done: bounded states and actions.

Every value has an integer code: a number is `code * step`, a boolean 0 or 1, a choice its place in the
`Literal`. All readings of a rule (reference, compiled, solver) work on these codes, so no float is ever compared.
"""

from __future__ import annotations

import itertools
import json
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, StrEnum
from fractions import Fraction
from functools import lru_cache
from typing import Any, ClassVar, Final, ForwardRef, Literal, Self, TypeAlias, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

MAX_ACTIONS: Final = 64
"""An action type with more values than this is refused: each value is one option in a prompt."""

MAX_CODE: Final = 2**53
"""Codes stay below this size, so that every grid point has a float of its own."""

MAX_TEXTS: Final = 4096
"""Texts of codes that are kept."""

Value: TypeAlias = float | int | bool | str
"""One exact value of a field, as users write it."""


class DomainError(ValueError):
    """A field type without bounds, or a value outside its field: one line, with what to do."""


class Kind(StrEnum):
    """What sort of values a field has."""

    NUMBER = "number"
    FLAG = "flag"
    CHOICE = "choice"


class Unknown(Enum):
    """The type of `UNKNOWN`: nothing is known of a field but its declared range."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN


@dataclass(frozen=True, slots=True)
class Interval:
    """All that is known of a number: it lies between two grid points, both included."""

    low: float
    high: float

    def __post_init__(self) -> None:
        """Refuse ends that are not finite or out of order."""
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise DomainError(
                f"expected finite ends with low <= high, got `{self.low}` and `{self.high}`; swap or drop them"
            )


Known: TypeAlias = Value | Interval | Unknown
"""What a fact says of one field."""

Code: TypeAlias = int | tuple[int, int] | None
"""The same in codes: exact, lowest and highest, or unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSpec:
    """One declared field: its kind, its range of codes and what a code means."""

    name: str
    index: int
    """Place in the declaration, from 0."""
    kind: Kind
    low: int
    """Lowest code."""
    high: int
    """Highest code."""
    numerator: int = 1
    """Numerator of the step (numbers)."""
    denominator: int = 1
    """Denominator of the step (numbers)."""
    is_whole: bool = False
    """True for `int` fields: their values are shown and given as `int`."""
    words: tuple[str, ...] = ()
    """The values of a choice, in declaration order."""

    def __hash__(self) -> int:
        """Hash by name: equal fields have equal names, and this is on the path of every grounding."""
        return hash(self.name)

    @property
    def step(self) -> Fraction:
        """Distance of two neighbouring values."""
        return Fraction(self.numerator, self.denominator)

    def decode(self, code: int) -> Value:
        """The value of a code, in the type that the field was declared with."""
        if self.kind is Kind.CHOICE:
            return self.words[code]
        if self.kind is Kind.FLAG:
            return code == 1
        return code * self.numerator if self.is_whole else code * self.numerator / self.denominator

    def encode(self, value: object) -> int:
        """The code of a value; a wrong type, a value off the grid or out of range is a `DomainError`."""
        if self.kind is Kind.NUMBER:
            return self._encode_number(value)
        if self.kind is Kind.FLAG:
            if value is True or value is False:
                return int(value)
            raise DomainError(f"expected true or false for `{self.name}`, got {show_value(value)}; give a bool")
        if isinstance(value, str) and value in self.words:
            return self.words.index(value)
        raise DomainError(
            f"expected one of {_list(self.words)} for `{self.name}`, got {show_value(value)}; use a declared value"
        )

    def _encode_number(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or (self.is_whole and type(value) is not int):
            sort = "a whole number" if self.is_whole else "a number"
            raise DomainError(
                f"expected {sort} for `{self.name}`, got {show_value(value)}; give a finite value in range"
            )
        if not math.isfinite(value):
            raise DomainError(
                f"expected a finite number for `{self.name}`, got {show_value(value)}; report it as unknown"
            )
        code = round(value * self.denominator / self.numerator)
        self._demand_range(code, value)
        if code * self.numerator / self.denominator != value:
            raise DomainError(
                f"expected a multiple of {self.show(1)} for `{self.name}`, got {show_value(value)}; quantise it first"
            )
        return code

    def _demand_range(self, code: int, value: object) -> None:
        if not self.low <= code <= self.high:
            low, high = self.show(self.low), self.show(self.high)
            raise DomainError(
                f"expected `{self.name}` between {low} and {high}, got {show_value(value)}; report it as unknown"
            )

    def show(self, code: int) -> str:
        """Text of a code: the shortest decimal of a number, `true`/`false`, or the word."""
        return _text(self, code)


@lru_cache(maxsize=MAX_TEXTS)
def _text(field: FieldSpec, code: int) -> str:
    value = field.decode(code)
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else shortest(value)


def shortest(value: float | Fraction) -> str:
    """Shortest decimal text of a number (`3`, `3.5`, `-0.25`); a fraction without one is shown as `1/3`."""
    if isinstance(value, Fraction):
        number = value.numerator / value.denominator
        text = shortest(number)
        return text if Fraction(text) == value else f"{value.numerator}/{value.denominator}"
    if value == int(value):
        return str(int(value))
    text = repr(float(value))
    return format(Decimal(text), "f") if "e" in text else text


def show_value(value: object) -> str:
    """A value in backticks for the text of an error, cut at 60 characters."""
    text = repr(value)
    return f"`{text if len(text) <= 60 else text[:57] + '...'}`"


def _list(words: tuple[str, ...]) -> str:
    return ", ".join(f"`{word}`" for word in words)


Writer: TypeAlias = tuple[str, int, dict[Code, str], Callable[[Code], str]]
"""The key of a field in JSON, its index, texts of codes written before, and what writes a new one."""


def _writer(field: FieldSpec) -> Writer:
    texts: dict[Code, str] = {}

    def write(code: Code) -> str:
        text = json.dumps(_plain(field, code), separators=(",", ":"), allow_nan=False)
        if len(texts) < MAX_TEXTS and type(code) is int:
            texts[code] = text
        return text

    return f"{json.dumps(field.name)}:", field.index, texts, write


def _plain(field: FieldSpec, code: Code) -> object:
    if code is None:
        return None
    return field.decode(code) if isinstance(code, int) else [field.decode(end) for end in code]


@dataclass(frozen=True, slots=True)
class Domain:
    """The declared fields of one state or action type."""

    name: str
    fields: tuple[FieldSpec, ...]
    by_name: Mapping[str, FieldSpec]
    writers: tuple[Writer, ...]
    """What `Facts.to_json` needs, in order of names."""

    def field(self, name: str) -> FieldSpec:
        """The field of that name; an undeclared name is a `DomainError`."""
        found = self.by_name.get(name)
        if found is None:
            raise DomainError(
                f"expected a field of `{self.name}` ({_list(tuple(self.by_name))}), got `{name}`; correct the name"
            )
        return found

    def codes(self, values: Mapping[str, object]) -> tuple[int, ...]:
        """Codes of a full set of values by name, each validated."""
        return tuple([field.encode(values[field.name]) for field in self.fields])

    def record(self) -> list[list[object]]:
        """The declaration as plain lists, for canonical JSON."""
        return [
            [f.name, f.kind.value, f.low, f.high, f"{f.numerator}/{f.denominator}", f.is_whole, list(f.words)]
            for f in self.fields
        ]


def fixed(*, ge: float, le: float, step: float) -> float:
    """Declare a number on a grid from `ge` to `le`, which lie on it: `step=0.5` allows 0, 0.5, 1 and so on.

    The return type is that of the field, so that type checkers read the declaration as one.
    """
    return cast(float, Field(ge=ge, le=le, json_schema_extra={"step": step}))


def whole(*, ge: int, le: int) -> int:
    """Declare a whole number from `ge` to `le`."""
    return cast(int, Field(ge=ge, le=le, json_schema_extra={"step": 1}))


class State(BaseModel):
    """Base of what one agent perceives: subclass it and declare bounded fields."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)
    __domain__: ClassVar[Domain] = Domain("State", (), types.MappingProxyType({}), ())

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        """Read the declared fields; a field without bounds is a `DomainError`."""
        cls.__domain__ = _read_domain(cls)

    @model_validator(mode="after")
    def _demand_grid(self) -> Self:
        self.__domain__.codes(self.__dict__)
        return self


class Action(BaseModel):
    """Base of what one agent may do: subclass it and declare bounded fields (at most 64 combinations)."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)
    __domain__: ClassVar[Domain] = Domain("Action", (), types.MappingProxyType({}), ())
    __actions__: ClassVar[tuple[Action, ...] | None] = None

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        """Read the declared fields; a field without bounds is a `DomainError`."""
        cls.__domain__ = _read_domain(cls)
        cls.__actions__ = None

    @model_validator(mode="after")
    def _demand_grid(self) -> Self:
        self.__domain__.codes(self.__dict__)
        return self


def domain_of(schema: type[State] | type[Action]) -> Domain:
    """The declared fields of a state or action type."""
    return schema.__domain__


def codes_of(value: State | Action) -> tuple[int, ...]:
    """Codes of all fields, validated again (a state can be built around its own validation)."""
    return value.__domain__.codes(value.__dict__)


def quantise(value: float, field: FieldSpec) -> float:
    """Nearest grid point of a measured number; beyond the range (after rounding) is a `DomainError`, never a clamp."""
    if field.kind is not Kind.NUMBER:
        raise DomainError(f"expected a number field, got `{field.name}`; choices and booleans need no grid")
    if not math.isfinite(value):
        raise DomainError(f"expected a finite number for `{field.name}`, got {show_value(value)}; report it as unknown")
    code = round(Fraction(value) / field.step)
    field._demand_range(code, value)
    return code * field.numerator / field.denominator


def widen(low: float, high: float, field: FieldSpec) -> Interval:
    """Smallest interval of grid points around [low, high]; beyond the range is a `DomainError`."""
    spread = Interval(low, high)
    codes = math.floor(Fraction(spread.low) / field.step), math.ceil(Fraction(spread.high) / field.step)
    for code, value in zip(codes, (low, high), strict=True):
        field._demand_range(code, value)
    return Interval(float(field.decode(codes[0])), float(field.decode(codes[1])))


A = TypeVar("A", bound=Action)


def actions_of(schema: type[A]) -> tuple[A, ...]:
    """All actions in declaration order, the last field varying fastest; action k has the label `A{k+1}`."""
    if schema.__actions__ is None:
        schema.__actions__ = _enumerate(schema)
    return cast(tuple[A, ...], schema.__actions__)


def _enumerate(schema: type[Action]) -> tuple[Action, ...]:
    fields = domain_of(schema).fields
    count = math.prod(field.high - field.low + 1 for field in fields)
    if not fields or count > MAX_ACTIONS:
        raise DomainError(
            f"expected 1 to {MAX_ACTIONS} actions of `{schema.__name__}`, got {count if fields else 0}; "
            "coarsen or add fields"
        )
    spans = (range(field.low, field.high + 1) for field in fields)
    names = [field.name for field in fields]
    return tuple(
        schema.model_validate(dict(zip(names, map(FieldSpec.decode, fields, codes), strict=True)))
        for codes in itertools.product(*spans)
    )


def _read_domain(schema: type[BaseModel]) -> Domain:
    fields = tuple(
        _read_field(f"{schema.__name__}.{name}", name, index, info)
        for index, (name, info) in enumerate(schema.model_fields.items())
    )
    by_name = {field.name: field for field in fields}
    writers = tuple(_writer(by_name[name]) for name in sorted(by_name))
    return Domain(schema.__name__, fields, types.MappingProxyType(by_name), writers)


def _read_field(place: str, name: str, index: int, info: FieldInfo) -> FieldSpec:
    kind = info.annotation
    if isinstance(kind, str | ForwardRef):
        raise DomainError(
            f"expected a known type for `{place}`, got {show_value(kind)}; import it above the declaration"
        )
    if kind is float or kind is int:
        return _read_number(place, name, index, info, is_whole=kind is int)
    if not info.is_required():
        raise DomainError(
            f"expected no default for `{place}`, got {show_value(info.default)}; a missing fact must stay missing"
        )
    if kind is bool:
        return FieldSpec(name=name, index=index, kind=Kind.FLAG, low=0, high=1)
    words = get_args(kind) if get_origin(kind) is Literal else ()
    if words and all(isinstance(word, str) and word for word in words) and len(set(words)) == len(words):
        return FieldSpec(name=name, index=index, kind=Kind.CHOICE, low=0, high=len(words) - 1, words=words)
    raise DomainError(
        f"expected `{place}` to be a bounded float, int, bool or Literal of strings, got {show_value(kind)}; "
        "declare it with fixed() or whole()"
    )


def _read_number(place: str, name: str, index: int, info: FieldInfo, *, is_whole: bool) -> FieldSpec:
    extra = info.json_schema_extra
    bounds: dict[str, Any] = {}
    for rule in info.metadata:
        bounds.update({key: getattr(rule, key) for key in ("ge", "le") if hasattr(rule, key)})
    if not isinstance(extra, dict) or "step" not in extra or set(bounds) != {"ge", "le"}:
        sort = "whole(ge=, le=)" if is_whole else "fixed(ge=, le=, step=)"
        raise DomainError(f"expected bounds for `{place}`, got none; declare it with {sort}")
    if not info.is_required():
        raise DomainError(
            f"expected no default for `{place}`, got {show_value(info.default)}; a missing fact must stay missing"
        )
    numbers = [bounds["ge"], bounds["le"], extra["step"]]
    if any(isinstance(n, bool) or not isinstance(n, (int, float)) or not math.isfinite(n) for n in numbers):
        raise DomainError(
            f"expected finite bounds and step for `{place}`, got {show_value(numbers)}; give plain numbers"
        )
    low, high, step = (Fraction(repr(number)) for number in numbers)
    if step <= 0 or low >= high or (low / step).denominator != 1 or (high / step).denominator != 1:
        raise DomainError(
            f"expected ge < le, both multiples of step > 0 for `{place}`, got {show_value(numbers)}; correct the bounds"
        )
    if is_whole and any(type(number) is not int for number in numbers):
        raise DomainError(f"expected whole bounds for `{place}`, got {show_value(numbers)}; use fixed() for fractions")
    if max(abs(low / step), abs(high / step)) > MAX_CODE:
        raise DomainError(
            f"expected at most 2**53 grid points each side for `{place}`, got {show_value(numbers)}; coarsen the step"
        )
    return FieldSpec(
        name=name,
        index=index,
        kind=Kind.NUMBER,
        low=int(low / step),
        high=int(high / step),
        numerator=step.numerator,
        denominator=step.denominator,
        is_whole=is_whole,
    )
