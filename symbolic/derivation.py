"""State types made of fields that others declare, under names of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from pydantic import create_model

from symbolic.domain import State, fixed, whole
from symbolic.field import FieldSpec, Kind


def derived(name: str, specs: Mapping[str, FieldSpec]) -> type[State]:
    """A state type whose fields have the ranges of others, under new names; none of them is a claim."""
    fields: dict[str, Any] = {new: _declared(spec) for new, spec in specs.items()}
    return create_model(name, __base__=State, **fields)


def _declared(spec: FieldSpec) -> tuple[Any, Any]:
    """Annotation and default that declare a field of this range."""
    if spec.kind is Kind.FLAG:
        return bool, ...
    if spec.kind is Kind.CHOICE:
        return Literal[spec.words], ...
    if spec.is_whole:
        return int, whole(ge=cast(int, spec.decode(spec.low)), le=cast(int, spec.decode(spec.high)))
    low, high, step = (spec.numerator * code / spec.denominator for code in (spec.low, spec.high, 1))
    return float, fixed(ge=low, le=high, step=step)
