"""Bounded collections of neighbours: a few slots, each with the fields of one neighbour and a flag that it is there.

    class Other(State):
        gap_m: float = fixed(ge=0, le=50, step=0.5)

    class Car(State):
        others: tuple[Other, ...] = many(Other, at_most=2)

`others` becomes the ordinary fields `others_1_present`, `others_1_gap_m`, `others_2_present`, `others_2_gap_m`, so that
every reading of a rule works on it. Fields of a slot where nobody is stand at their lowest value and mean nothing:
rules read neighbours by quantifiers only, which look at those who are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo

from symbolic.field import UNKNOWN, DomainError, FieldSpec, Kind, show_value

MAX_SLOTS: Final = 16
"""Most neighbours of one collection."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Room for one neighbour."""

    present: FieldSpec
    """The flag that says whether somebody is there."""
    fields: tuple[FieldSpec, ...]
    """As the neighbour's own type declares them, in its order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """One declared collection."""

    name: str
    schema: type[BaseModel] = field(compare=False)
    """The state type of one neighbour."""
    slots: tuple[Slot, ...]

    def __hash__(self) -> int:
        """Hash by name, as fields do."""
        return hash(self.name)

    @property
    def fields(self) -> Iterator[FieldSpec]:
        """All fields of all slots, in the order of their indices."""
        for slot in self.slots:
            yield slot.present
            yield from slot.fields

    def spread(self, given: Sequence[Mapping[str, object] | None]) -> dict[str, object]:
        """Values of all fields by name.

        Args:
            given: for each of the first slots all values of the neighbour's fields by name, or None where there may be
                somebody of whom nothing is known; the other slots are empty.
        """
        values: dict[str, object] = {}
        for place, slot in enumerate(self.slots):
            if place >= len(given):
                values |= {one.name: one.decode(one.low) for one in (slot.present, *slot.fields)}
                continue
            own = given[place]
            values[slot.present.name] = UNKNOWN if own is None else True
            for one, bare in zip(slot.fields, names_of(self.schema), strict=True):
                nothing = False if one.known_of else UNKNOWN
                values[one.name] = nothing if own is None else own[bare]
        return values


def names_of(schema: type[BaseModel]) -> tuple[str, ...]:
    """Names of the fields of a state type, flags of optional fields among them."""
    return tuple(schema.__domain__.by_name)  # type: ignore[attr-defined]


M = TypeVar("M", bound=BaseModel)


def many(schema: type[M], *, at_most: int) -> tuple[M, ...]:
    """Declare up to `at_most` neighbours of a state type; the return type is that of the field."""
    extra = {"at_most": at_most, "of": schema.__name__}
    return cast("tuple[M, ...]", Field(max_length=at_most, json_schema_extra=extra))  # type: ignore[arg-type]


def is_many(info: FieldInfo) -> bool:
    """Whether a declaration is of a collection."""
    return get_origin(info.annotation) is tuple


def read_neighbours(
    place: str, name: str, index: int, info: FieldInfo, one: type[BaseModel], fields: tuple[FieldSpec, ...]
) -> Neighbours:
    """The collection of an annotation.

    Args:
        place: what errors call it.
        name: its name.
        index: of its first field.
        info: the declaration.
        one: the state type of one neighbour.
        fields: what that type declares.
    """
    extra = info.json_schema_extra
    at_most = extra.get("at_most") if isinstance(extra, dict) else None
    if type(at_most) is not int or not 1 <= at_most <= MAX_SLOTS or not fields:
        raise DomainError(
            f"expected 1 to {MAX_SLOTS} neighbours with fields in `{place}`, got {show_value(at_most)}; "
            "declare it with many(..., at_most=)"
        )
    is_declared = info.is_required() and extra == {"at_most": at_most, "of": one.__name__}
    if not is_declared or any(own.present is not None or own.claim is not None for own in fields):
        raise DomainError(
            f"expected `{place}` to be neighbours of one plain state type without a default, got "
            f"{show_value(info.annotation)}; give many() the same type, one without claims and neighbours of its own"
        )
    width = len(fields) + 1
    slots = tuple(_slot(f"{name}_{place_}_", index + (place_ - 1) * width, fields) for place_ in range(1, at_most + 1))
    return Neighbours(name=name, schema=one, slots=slots)


def neighbour_type(info: FieldInfo) -> object:
    """What the annotation of a collection is a tuple of; None where it is no tuple of any length."""
    args = get_args(info.annotation)
    return args[0] if len(args) == 2 and args[1] is Ellipsis else None


def _slot(prefix: str, at: int, fields: tuple[FieldSpec, ...]) -> Slot:
    present = FieldSpec(name=f"{prefix}present", index=at, kind=Kind.FLAG, low=0, high=1, present=at)

    def moved(one: FieldSpec) -> FieldSpec:
        return replace(
            one,
            name=prefix + one.name,
            index=at + 1 + one.index,
            known=None if one.known is None else moved(one.known),
            known_of=one.known_of and prefix + one.known_of,
            present=at,
        )

    return Slot(present, tuple(map(moved, fields)))
