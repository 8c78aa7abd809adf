"""What may be perceived and done: bounded states and actions. What one field is, says `field.py`."""

from __future__ import annotations

import itertools
import json
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Self, TypeAlias, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

from symbolic.annotations import read_field
from symbolic.field import MAX_TEXTS, Code, DomainError, FieldSpec, shown_list

MAX_ACTIONS: Final = 64
"""An action type with more values than this is refused: each value is one option in a prompt."""

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
                f"expected a field of `{self.name}` ({shown_list(tuple(self.by_name))}), got `{name}`; correct the name"
            )
        return found

    def codes(self, values: Mapping[str, object]) -> tuple[int, ...]:
        """Codes of a full set of values by name, each validated."""
        return tuple([field.encode(values[field.name]) for field in self.fields])

    def record(self) -> list[list[object]]:
        """The declaration as plain lists, for canonical JSON."""
        return [
            [f.name, f.kind.value, f.low, f.high, f"{f.numerator}/{f.denominator}", f.is_whole, list(f.words)]
            + ([] if f.claim is None else [f.claim.record()])
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
        read_field(f"{schema.__name__}.{name}", name, index, info)
        for index, (name, info) in enumerate(schema.model_fields.items())
    )
    by_name = {field.name: field for field in fields}
    writers = tuple(_writer(by_name[name]) for name in sorted(by_name))
    return Domain(schema.__name__, fields, types.MappingProxyType(by_name), writers)
