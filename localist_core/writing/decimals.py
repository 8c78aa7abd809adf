"""Numbers of a JSON Schema as ranges of scaled whole numbers, so that every bound holds exactly; no torch.

A bound is the decimal number that Python writes for it. A text within such bounds is a float within them too, since
reading a text as a float keeps the order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final

from localist_core.errors import SchemaError
from localist_core.writing.shapes import Fixed, Number

DECIMALS: Final = 6
"""Digits behind the point of a number whose bounds have no more; else as many as these, at most `MOST_DECIMALS`."""
MOST_DECIMALS: Final = 17
WHOLE_DIGITS: Final = 18
"""Most digits before the point."""
MOST_VALUES: Final = 4096
"""Most multiples of a step within its bounds: each becomes a value of its own."""

BOUNDS: Final = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
"""The keywords."""


def number_of(node: Mapping[str, object], where: str) -> Number | Fixed:
    """What a schema of the type `integer` or `number` says: a range, or with a step the multiples within.

    The ends are rounded inwards to what can be written.

    Raises:
        SchemaError: bounds that are no numbers or hold none, or a step with too many multiples.
    """
    is_whole = node["type"] == "integer"
    bounds = {key: _decimal(node[key], key, where) for key in BOUNDS if key in node}
    decimals = 0 if is_whole else _decimals([*bounds.values()])
    lows = [bounds[key] for key in ("minimum",) if key in bounds]
    highs = [bounds[key] for key in ("maximum",) if key in bounds]
    if "exclusiveMinimum" in bounds:
        lows.append(_beyond(bounds["exclusiveMinimum"], math.inf, is_whole))
    if "exclusiveMaximum" in bounds:
        highs.append(_beyond(bounds["exclusiveMaximum"], -math.inf, is_whole))
    largest = 10 ** (WHOLE_DIGITS + decimals) - 1
    unit = Fraction(1, 10**decimals)
    low = max([-largest, *(math.ceil(Fraction(bound) / unit) for bound in lows)])
    high = min([largest, *(math.floor(Fraction(bound) / unit) for bound in highs)])
    if low > high:
        raise SchemaError(
            f"expected bounds with a number of {WHOLE_DIGITS} digits before the point and {decimals} behind it between "
            f"them at `{where}`, got none"
        )
    if "multipleOf" not in bounds:
        return Number(low=low, high=high, decimals=decimals)
    return _multiples(bounds["multipleOf"], low * unit, high * unit, is_whole, where)


def _multiples(step: Decimal, low: Fraction, high: Fraction, is_whole: bool, where: str) -> Fixed:
    if step <= 0:
        raise SchemaError(f"expected a `multipleOf` above 0 at `{where}`, got `{step}`")
    first, last = math.ceil(low / Fraction(step)), math.floor(high / Fraction(step))
    if last - first + 1 > MOST_VALUES:
        raise SchemaError(
            f"expected at most {MOST_VALUES} multiples of `{step}` within bounds at `{where}`, "
            f"got {last - first + 1}; narrow the bounds, or leave `multipleOf` to the model's own validator"
        )
    values = (step * k for k in range(first, last + 1))
    texts = tuple(_plain(value) for value in values if not is_whole or value == value.to_integral_value())
    if not texts:
        raise SchemaError(f"expected a multiple of `{step}` within bounds at `{where}`, got none")
    return Fixed(texts)


def _plain(value: Decimal) -> str:
    """Without exponent and without zeros at the end."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") or "0" if "." in text else text


def _beyond(bound: Decimal, towards: float, is_whole: bool) -> Decimal:
    """The nearest number beyond an exclusive bound that is another number to a reader in floats as well."""
    if is_whole and bound == bound.to_integral_value():
        return bound + (1 if towards > 0 else -1)
    return Decimal(repr(math.nextafter(float(bound), towards)))


def _decimals(bounds: Sequence[Decimal]) -> int:
    exponents = [bound.normalize().as_tuple().exponent for bound in bounds]
    return min(MOST_DECIMALS, max([DECIMALS, *(-exponent for exponent in exponents if isinstance(exponent, int))]))


def _decimal(value: object, keyword: str, where: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SchemaError(f"expected a number as `{keyword}` at `{where}`, got `{value}`")
    return Decimal(repr(value))
