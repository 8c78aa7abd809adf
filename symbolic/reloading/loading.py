"""A rule set from canonical JSON alone, its types rebuilt from what the JSON declares: no Python of anyone is run."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from itertools import islice
from typing import Any, Literal, TypeVar, cast

from pydantic import create_model

from symbolic.claiming.claim import claimed
from symbolic.declaration import RuleError
from symbolic.decoding import PLAIN
from symbolic.domain import Action, State, fixed, whole
from symbolic.field import DomainError, Kind
from symbolic.neighbours import many
from symbolic.rules import RuleSet

Schema = TypeVar("Schema", bound=State | Action)


def load_rules(text: str) -> RuleSet[Any, Any]:
    """The rule set that `RuleSet.to_json` wrote, over types of its own.

    Raises:
        RuleError: other text, or types that declare more than bounded fields.
    """
    try:
        record = json.loads(text)
        schemas = record["state"], record["action"]
        json.dumps(schemas, ensure_ascii=False).encode()  # half a character is no text
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RuleError("expected a rule set as JSON, got other text; give the text of to_json") from None
    try:
        return RuleSet.from_json(text, _type(schemas[0], State), _type(schemas[1], Action))
    except DomainError as error:
        raise RuleError(str(error)) from None


def _type(record: object, base: type[Schema]) -> type[Schema]:
    """A type that declares what a record says."""
    match record:
        case {"name": str(name), "fields": list(entries), **extras} if name.isidentifier():
            try:
                fields: dict[str, Any] = _declared(entries, cast("dict[str, Any]", extras))
                made: type[Schema] = create_model(name, __base__=base, **fields)
                is_same = made.__domain__.record() == entries and made.__domain__.extras() == extras
            except (DomainError, ValueError, TypeError, LookupError, NameError, ArithmeticError):
                is_same = False
            if is_same:
                return made
    raise RuleError(
        f"expected the declaration of a {base.__name__} with bounded fields, got `{record!r:.60}`; "
        "load the rules with their own types"
    )


def _declared(entries: list[Any], extras: dict[str, Any]) -> dict[str, Any]:
    """The fields that were declared: those that may be unknown as such, slots of neighbours as their collection."""
    declared: dict[str, Any] = {}
    firsts = {f"{name}_1_present": (name, at_most, one) for name, at_most, one in extras.get("neighbours", ())}
    optional = extras.get("optional", ())
    rest = iter(entries)
    for entry in rest:
        if entry[0] in firsts:
            name, at_most, one = firsts[entry[0]]
            of = _type(one, State)
            declared[name] = (tuple[of, ...], many(of, at_most=at_most))  # type: ignore[valid-type]
            skipped = at_most * (len(of.__domain__.fields) + 1) - 1
        else:
            name, (sort, bounds) = _field(entry)
            declared[name] = (cast(Any, sort) | None, bounds) if name in optional else (sort, bounds)
            skipped = int(name in optional)
        deque(islice(rest, skipped), maxlen=0)
    return declared


def _field(entry: object) -> tuple[str, tuple[object, object]]:
    """Name, type and bounds of one field, as `create_model` takes them."""
    match entry:
        case [str(name), str(kind), int(low), int(high), str(step), bool(is_whole), [*words], *claim] if (
            PLAIN.fullmatch(step)
        ):
            sort, bounds, decode = _sort(kind, low, high, Fraction(step), is_whole, tuple(words))
            return name, (sort, _claim(claim, bounds, decode))
        case _:
            raise TypeError(f"expected a field, got `{entry!r:.60}`")


def _sort(
    kind: str, low: int, high: int, step: Fraction, is_whole: bool, words: tuple[object, ...]
) -> tuple[object, object, Callable[[int], object]]:
    """Type and bounds of a field, and what a code of it means."""
    if kind == Kind.NUMBER and is_whole:
        size = int(step)
        return int, whole(ge=low * size, le=high * size), lambda code: code * size
    if kind == Kind.NUMBER:
        return float, fixed(ge=float(low * step), le=float(high * step), step=float(step)), lambda code: code * step
    if kind == Kind.FLAG:
        return bool, ..., bool
    if kind == Kind.CHOICE and words:
        return Literal[words], ..., words.__getitem__
    raise TypeError(f"expected a number, a choice with words or a flag, got `{kind:.60}`")


def _claim(record: list[object], bounds: object, decode: Callable[[int], object]) -> object:
    """The bounds with what makes the field a claim, where the record says so."""
    match record:
        case [["claimed", str(by), silent, age, bool(is_signed)]]:
            said: Any = decode(silent) if isinstance(silent, int) else silent
            of = None if bounds is ... else bounds
            return claimed(of, by=by, silent=said, max_age_s=cast(Any, age), is_signed=is_signed)
        case _:
            return bounds
