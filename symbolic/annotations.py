"""Bounded fields read from the annotations of a pydantic model; whatever is not bounded is refused."""

from __future__ import annotations

import math
import types
from dataclasses import replace
from fractions import Fraction
from typing import Any, Final, ForwardRef, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from symbolic.claiming.claim import KEY, Claimed
from symbolic.field import MAX_CODE, DomainError, FieldSpec, Kind, show_value

KNOWN: Final = "_known"
"""Ends the name of the flag that says whether an optional field is known."""


def read_field(place: str, name: str, index: int, info: FieldInfo) -> FieldSpec:
    """The field of an annotation; `place` is what errors call it. The flag of an optional field has the next index."""
    field = _read_claim(place, _read_sort(place, name, index, info), info)
    if field.known is not None and field.claim is not None:
        raise DomainError(
            f"expected a claim `{place}` without None, got an optional one; what nobody claims is unknown already"
        )
    return field


def _read_sort(place: str, name: str, index: int, info: FieldInfo) -> FieldSpec:
    kind = info.annotation
    if isinstance(kind, str | ForwardRef):
        raise DomainError(
            f"expected a known type for `{place}`, got {show_value(kind)}; import it above the declaration"
        )
    if get_origin(kind) in (Union, types.UnionType) and types.NoneType in get_args(kind) and len(get_args(kind)) == 2:
        kind = next(one for one in get_args(kind) if one is not types.NoneType)
        flag = FieldSpec(name=name + KNOWN, index=index + 1, kind=Kind.FLAG, low=0, high=1, known_of=name)
        return replace(_read_kind(place, name, index, info, kind), known=flag)
    return _read_kind(place, name, index, info, kind)


def _read_kind(place: str, name: str, index: int, info: FieldInfo, kind: object) -> FieldSpec:
    if kind is float or kind is int:
        return _read_number(place, name, index, info, is_whole=kind is int)
    if not info.is_required():
        raise DomainError(
            f"expected no default for `{place}`, got {show_value(info.default)}; a missing fact must stay missing"
        )
    if kind is bool:
        return FieldSpec(name=name, index=index, kind=Kind.FLAG, low=0, high=1)
    words = get_args(kind) if get_origin(kind) is Literal else ()
    if (
        words
        and all(isinstance(word, str) and word and "\n" not in word for word in words)
        and len(set(words)) == len(words)
    ):
        return FieldSpec(name=name, index=index, kind=Kind.CHOICE, low=0, high=len(words) - 1, words=words)
    raise DomainError(
        f"expected `{place}` to be a bounded float, int, bool or Literal of strings, got {show_value(kind)}; "
        "declare it with fixed() or whole()"
    )


def _read_claim(place: str, field: FieldSpec, info: FieldInfo) -> FieldSpec:
    """The field with what makes it a claim, where its declaration says so."""
    extra = info.json_schema_extra
    told = extra.get(KEY) if isinstance(extra, dict) else None
    if not isinstance(told, dict):
        return field
    by, age = told["by"], told["max_age_s"]
    if not isinstance(by, str) or not by.isidentifier():
        raise DomainError(
            f"expected the role that claims `{place}`, of letters, digits and `_`, got {show_value(by)}; name it"
        )
    if age is not None and (isinstance(age, bool) or not isinstance(age, (int, float)) or not 0 <= age < MAX_CODE):
        raise DomainError(f"expected an age in seconds, 0 or more, for `{place}`, got {show_value(age)}; correct it")
    silent = None if told["silent"] is None else field.encode(told["silent"])
    seconds = None if age is None else float(age)  # 2 and 2.0 are one declaration, with one hash
    is_signed = told["is_signed"] is not False
    return replace(field, claim=Claimed(by=by, silent=silent, max_age_s=seconds, is_signed=is_signed))


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
