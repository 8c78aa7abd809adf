"""One bounded field: its values, their integer codes, and what may be known of it.

Every value has an integer code: a number is `code * step`, a boolean 0 or 1, a choice its place in the
`Literal`. All readings of a rule (reference, compiled, solver) work on these codes, so no float is ever compared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, StrEnum
from fractions import Fraction
from functools import lru_cache
from typing import Final, TypeAlias

from symbolic.claiming.claim import Claimed

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
        if not (is_finite(self.low) and is_finite(self.high) and self.low <= self.high):
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
    claim: Claimed | None = None
    """Whose messages it holds; None where it is perceived."""
    known: FieldSpec | None = field(default=None, repr=False)
    """The flag that says whether an optional field is known; None for fields that are not optional."""
    known_of: str = field(default="", repr=False)
    """Name of the optional field that such a flag speaks of; empty for other fields."""
    present: int | None = field(default=None, repr=False)
    """Index of the flag that says whether the neighbour that it is a field of is there; None for the agent's own."""

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
            f"expected one of {shown_list(self.words)} for `{self.name}`, got {show_value(value)}; use a declared value"
        )

    def _encode_number(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or (self.is_whole and type(value) is not int):
            sort = "a whole number" if self.is_whole else "a number"
            raise DomainError(
                f"expected {sort} for `{self.name}`, got {show_value(value)}; give a finite value in range"
            )
        if not is_finite(value):
            raise DomainError(
                f"expected a finite number for `{self.name}`, got {show_value(value)}; report it as unknown"
            )
        try:
            code = round(value * self.denominator / self.numerator)
        except OverflowError:
            code = self.high + 1  # far beyond any range
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


def is_finite(number: float) -> bool:
    """Whether a number is finite, and no integer that has no float."""
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def show_value(value: object) -> str:
    """A value in backticks for the text of an error, cut at 60 characters."""
    text = repr(value)
    return f"`{text if len(text) <= 60 else text[:57] + '...'}`"


def shown_list(words: tuple[str, ...]) -> str:
    """Words in backticks for the text of an error."""
    return ", ".join(f"`{word}`" for word in words)


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
