"""State and action types read from text."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Literal, TypeAlias, cast

import lark
from pydantic import Field, create_model

from symbolic.claiming.claim import claimed
from symbolic.domain import Action, State
from symbolic.field import DomainError
from symbolic.neighbours import many
from symbolic.writing.place import Place, word_of

Schemas: TypeAlias = Mapping[str, type[State]]
"""Types of neighbours that the text declares above, by name."""


def schema_of(tree: lark.Tree[Any], place: Place, neighbours: Schemas) -> type[State] | type[Action]:
    """The type that a text declares: of a state, an action or a neighbour."""
    owner, name, *parts = tree.children
    declared: dict[str, Any] = {}
    for part in parts:
        named, sort = str(part.children[0]), cast("lark.Tree[Any]", part.children[1])
        if named in declared or named.startswith(("_", "model_")) or hasattr(State, named):
            place.fail(part, f"expected a new name, and none that the type has itself, got `{named}`; rename it")
        kind, info = _sort(sort, place, neighbours)
        declared[named] = (kind, info if part.children[2] is None else _claim(kind, info, part.children[2]))
    try:
        made: Any = create_model(
            str(name), __base__=Action if owner == "action" else State, __module__=__name__, **declared
        )
    except (DomainError, NameError) as error:
        place.fail(tree, " ".join(str(error).split()))
    return cast("type[State] | type[Action]", made)


def _sort(tree: lark.Tree[Any], place: Place, neighbours: Schemas) -> tuple[Any, Any]:
    match tree.data:
        case "optional":
            kind, declared = _sort(cast("lark.Tree[Any]", tree.children[0]), place, neighbours)
            return kind | None, declared
        case "many":
            name, at_most = (str(part) for part in tree.children)
            if name not in neighbours or not at_most.isdecimal():
                place.fail(
                    tree, f"expected a type `neighbour {name} {{ ... }}` above and a whole number of them, got none"
                )
            one = neighbours[name]
            return tuple[one, ...], many(one, at_most=int(at_most))  # type: ignore[valid-type]
        case "flag":
            return bool, ...
        case "choice":
            return Literal[tuple(word_of(part) for part in tree.children)], ...
        case "whole":
            low, high = (_signed(part) for part in tree.children)
            if low.denominator != 1 or high.denominator != 1:
                place.fail(tree, "expected whole bounds, got decimals; declare a `number` with a step")
            return int, Field(ge=int(low), le=int(high), json_schema_extra={"step": 1})
        case _:
            bounds = [float(_signed(part)) for part in tree.children]
            return float, Field(ge=bounds[0], le=bounds[1], json_schema_extra={"step": bounds[2]})


def _signed(tree: lark.Tree[Any]) -> Fraction:
    minus, number = tree.children
    return -Fraction(str(number)) if minus else Fraction(str(number))


def _claim(kind: Any, info: Any, tree: lark.Tree[Any]) -> Any:
    """What the declaration of a claim says, as `claimed` would."""
    by, silence, age, is_signed = tree.children
    return claimed(
        None if info is ... else info,
        by=str(by),
        silent=None if silence is None else _silence(kind, silence.children[0]),
        max_age_s=None if age is None else float(Fraction(str(age))),
        is_signed=is_signed is not None,
    )


def _silence(kind: Any, said: lark.Tree[Any]) -> object:
    if said.data == "signed":
        number = _signed(said)
        return int(number) if number.denominator == 1 and kind is int else float(number)
    word = word_of(said)
    return word == "true" if kind is bool and word in ("true", "false") else word
