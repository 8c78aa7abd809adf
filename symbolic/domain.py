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

MAX_ACTIONS: Final = 4096
"""The actions of a type with more values are never listed (`is_wide`): they are checked and repaired, no more."""

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
    """Base of what one agent may do: subclass it and declare bounded fields."""

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


def num_actions(schema: type[Action]) -> int:
    """How many actions there are."""
    fields = domain_of(schema).fields
    return math.prod(field.high - field.low + 1 for field in fields) if fields else 0


def is_wide(schema: type[Action]) -> bool:
    """Whether there are too many actions to list them: what needs the list (all but check and repair) is refused."""
    return num_actions(schema) > MAX_ACTIONS


def _enumerate(schema: type[A]) -> tuple[A, ...]:
    count, fields = num_actions(schema), domain_of(schema).fields
    if count == 0:
        raise DomainError(f"expected an action type with fields, got none in `{schema.__name__}`; declare what is done")
    if count > MAX_ACTIONS:
        raise DomainError(
            f"expected at most {MAX_ACTIONS} actions of `{schema.__name__}` to list, got {count}; coarsen its fields, "
            "or only check and repair"
        )
    spans = (range(field.low, field.high + 1) for field in fields)
    return tuple(action_of(schema, codes) for codes in itertools.product(*spans))


def action_of(schema: type[A], codes: tuple[int, ...]) -> A:
    """The action that has these codes; a code outside its field is an error."""
    fields = domain_of(schema).fields
    return schema.model_validate({one.name: one.decode(code) for one, code in zip(fields, codes, strict=True)})


def _read_domain(schema: type[BaseModel]) -> Domain:
    fields = tuple(
        read_field(f"{schema.__name__}.{name}", name, index, info)
        for index, (name, info) in enumerate(schema.model_fields.items())
    )
    by_name = {field.name: field for field in fields}
    writers = tuple(_writer(by_name[name]) for name in sorted(by_name))
    return Domain(schema.__name__, fields, types.MappingProxyType(by_name), writers)
