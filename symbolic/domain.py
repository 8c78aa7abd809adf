"""What may be perceived and done: bounded states and actions. What one field is, says `field.py`."""

from __future__ import annotations

import itertools
import json
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final, Self, TypeAlias, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

from symbolic.annotations import read_field
from symbolic.field import MAX_TEXTS, UNKNOWN, Code, DomainError, FieldSpec, show_value, shown_list
from symbolic.neighbours import Neighbours, is_many, names_of, neighbour_type, read_neighbours

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

    neighbours: Mapping[str, Neighbours] = field(default_factory=dict)
    """Collections by name; their fields are among `fields`."""
    is_plain: bool = True
    """Whether it declares nothing but its fields: nothing optional, no neighbours."""

    def field(self, name: str) -> FieldSpec:
        """The field of that name; an undeclared name is a `DomainError`."""
        found = self.by_name.get(name)
        if found is None:
            raise DomainError(
                f"expected a field of `{self.name}` ({shown_list(self.names)}), got `{name}`; correct the name"
            )
        return found

    @property
    def declared(self) -> tuple[FieldSpec | Neighbours, ...]:
        """Fields and collections as they were declared, in order."""
        own = [one for one in self.fields if not one.known_of and one.present is None]
        places = [(one.index, one) for one in own] + [(m.slots[0].present.index, m) for m in self.neighbours.values()]
        return tuple(one for _, one in sorted(places, key=lambda pair: pair[0]))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of what was declared, in order."""
        return tuple(one.name for one in self.declared)

    def codes(self, values: Mapping[str, object]) -> tuple[int, ...]:
        """Codes of a full set of values by name, each validated; an unknown one is a `DomainError`."""
        codes = self.known_codes(values)
        for one, code in zip(self.fields, codes, strict=True):
            if code is None:
                raise DomainError(f"expected a known `{one.name}`, got none; build facts of the state instead")
        return cast("tuple[int, ...]", codes)

    def known_codes(self, values: Mapping[str, object]) -> tuple[int | None, ...]:
        """The same of the values of a state, where an optional field may be None: its code is None too."""
        if self.is_plain:
            return tuple([one.encode(values[one.name]) for one in self.fields])
        flat = self.spread({name: self._opened(name, value) for name, value in values.items()})
        return tuple(
            [None if flat[one.name] is UNKNOWN and one.known else one.encode(flat[one.name]) for one in self.fields]
        )

    def _opened(self, name: str, value: object) -> object:
        is_unknown = value is None and name in self.by_name and self.by_name[name].known is not None
        return UNKNOWN if is_unknown else value

    def spread(self, given: Mapping[str, object]) -> dict[str, object]:
        """Values as declared, by the names of all fields: neighbours in their slots, flags of what is known."""
        flat: dict[str, object] = {}
        for name, value in given.items():
            flat |= self._slots(self.neighbours[name], value) if name in self.neighbours else {name: value}
        for one in self.fields:
            if one.known is not None and one.name in flat:
                flat.setdefault(one.known.name, flat[one.name] is not UNKNOWN)
        return flat

    def _slots(self, many: Neighbours, given: object) -> dict[str, object]:
        if given is UNKNOWN:
            return many.spread([None] * len(many.slots))
        if not isinstance(given, (list, tuple)) or len(given) > len(many.slots):
            raise DomainError(
                f"expected at most {len(many.slots)} neighbours in `{many.name}`, got {show_value(given)}; "
                "give a list of those that matter"
            )
        return many.spread([None if one is UNKNOWN else _values(many, one) for one in given])

    def gathered(self, flat: Mapping[str, object]) -> dict[str, object]:
        """The opposite of `spread`: values as declared, None for what is unknown."""
        values: dict[str, object] = {}
        for one in self.declared:
            if isinstance(one, FieldSpec):
                values[one.name] = None if flat[one.name] is UNKNOWN else flat[one.name]
                continue
            there = [slot for slot in one.slots if flat[slot.present.name] is True]
            bare = names_of(one.schema)
            own = [dict(zip(bare, (flat[f.name] for f in slot.fields), strict=True)) for slot in there]
            of = cast("type[State]", one.schema)
            values[one.name] = tuple(of.model_validate(of.__domain__.gathered(each)) for each in own)
        return values

    def record(self) -> list[list[object]]:
        """The declaration as plain lists, for canonical JSON."""
        return [
            [f.name, f.kind.value, f.low, f.high, f"{f.numerator}/{f.denominator}", f.is_whole, list(f.words)]
            + ([] if f.claim is None else [f.claim.record()])
            for f in self.fields
        ]

    def extras(self) -> dict[str, object]:
        """What canonical JSON says besides: which fields are optional, and which are those of neighbours."""
        optional = [one.name for one in self.fields if one.known is not None and one.present is None]
        neighbours = [
            [many.name, len(many.slots), {"fields": of.record(), "name": of.name, **of.extras()}]
            for many in self.neighbours.values()
            for of in [cast("type[State]", many.schema).__domain__]
        ]
        return ({"optional": optional} if optional else {}) | ({"neighbours": neighbours} if neighbours else {})


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
        self.__domain__.known_codes(self.__dict__)
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


def _values(many: Neighbours, given: object) -> dict[str, object]:
    """All values of one neighbour by name, from a state, facts or a mapping."""
    of = cast("type[State]", many.schema).__domain__
    if type(given) is many.schema:
        given = {name: of._opened(name, value) for name, value in given.__dict__.items()}
    if not isinstance(given, Mapping):
        raise DomainError(f"expected `{of.name}` in `{many.name}`, got {show_value(given)}; give its own state type")
    for name in given:
        of.field(name)
    flat = of.spread(given)
    missing = [name for name in of.by_name if name not in flat]
    if missing:
        raise DomainError(
            f"expected a fact for `{missing[0]}` of each of `{many.name}`, got none; give UNKNOWN for what is not known"
        )
    return flat


def _read_domain(schema: type[BaseModel]) -> Domain:
    fields: list[FieldSpec] = []
    neighbours: dict[str, Neighbours] = {}
    for name, info in schema.model_fields.items():
        place = f"{schema.__name__}.{name}"
        if is_many(info):
            of = neighbour_type(info)
            if not (isinstance(of, type) and issubclass(of, State)):
                raise DomainError(
                    f"expected `{place}` to be a tuple of one state type of any length, got "
                    f"{show_value(info.annotation)}; declare it as `tuple[Other, ...]` with many()"
                )
            neighbours[name] = read_neighbours(place, name, len(fields), info, of, of.__domain__.fields)
            fields += neighbours[name].fields
        else:
            one = read_field(place, name, len(fields), info)
            fields += [one] if one.known is None else [one, one.known]
    is_plain = not neighbours and all(one.known is None for one in fields)
    if not is_plain and issubclass(schema, Action):
        raise DomainError(
            f"expected every field of the action `{schema.__name__}` to be known, got one that may not be; "
            "declare what is done without None and without neighbours"
        )
    by_name = {one.name: one for one in fields}
    if len(by_name) != len(fields):
        raise DomainError(
            f"expected different names in `{schema.__name__}`, got one twice among {shown_list(tuple(by_name))}; "
            "leave names that end in `_known` or begin like a neighbour's slot to the type"
        )
    writers = tuple(_writer(by_name[name]) for name in sorted(by_name))
    return Domain(
        schema.__name__,
        tuple(fields),
        types.MappingProxyType(by_name),
        writers,
        types.MappingProxyType(neighbours),
        is_plain,
    )
