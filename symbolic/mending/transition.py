"""What one step makes of a state: a model of the world over the declared grid, exact or with a range of outcomes.

    step = Transition.of(Car, Drive, gap=becomes(s.gap - s.speed, least=-1, most=1), speed=s.speed + a.gas, light=ANY)

A number becomes what an expression over state and action says, or anything within some distance of it; one between
two grid points may become either. `ANY` may become anything, and a field that is not named keeps its value. A state
outside the declared ranges is unsafe; `is_held` instead holds a number at the end of its range.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final, TypeAlias, cast

import numpy
from numpy.typing import NDArray

from symbolic.domain import Action, State, domain_of
from symbolic.expression import Expr, ExpressionError, Number, is_number, is_truth, reads
from symbolic.facts import Facts
from symbolic.field import FieldSpec, Kind
from symbolic.reading.batch import compile_value
from symbolic.reading.compiled import Codes
from symbolic.reading.reference import NO, YES, Walk, demand_divisors
from symbolic.terms import NumberTerm, TruthTerm, exact

Box: TypeAlias = tuple[tuple[int, int], ...]
"""Lowest and highest code of each field after a step; beyond its range where the step leaves the domain."""

Grid: TypeAlias = NDArray[numpy.int64]
"""Codes (n, field)."""

Function: TypeAlias = Callable[[Grid, NDArray[numpy.int64]], tuple[Grid, Grid]]
"""From codes of states (n, field) and of one action (field,) to lowest and highest codes (n, field) after a step."""


class TransitionError(ValueError):
    """A model that does not fit the declared fields: one line, with what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """What a field becomes."""

    value: Expr | None
    """A number, or for a flag a condition; None = any value of the field."""
    least: Fraction = Fraction()
    """Units that may be added to a number at least (negative: taken away)."""
    most: Fraction = Fraction()
    """Units that may be added at most."""
    is_held: bool = False
    """Whether a number that would leave its range stands at the end of it instead."""


ANY: Final = Next(value=None)
"""Nothing is known of what a field becomes."""


def becomes(value: object, *, least: float = 0, most: float = 0, is_held: bool = False) -> Next:
    """What an expression says, or anything between that and `least` and `most` units more; see `Next`."""
    return Next(value=_expression(value), least=exact(least), most=exact(most), is_held=is_held)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A model of one step; build it with `of`, or from a function over arrays of codes."""

    state: type[State]
    action: type[Action]
    changes: Mapping[str, Next] = field(default_factory=dict)
    """Fields that may change."""
    function: Function | None = None
    """Instead of them: the model as a function over arrays, which reads and names every field. It is trusted."""
    compiled: dict[str, tuple[Callable[[Any, Any], Any], int]] = field(init=False, repr=False, compare=False)
    """Expressions over arrays, by field."""

    def __post_init__(self) -> None:
        """Refuse what does not fit the fields."""
        if self.changes and self.function is not None:
            raise TransitionError("expected expressions or a function, got both; give one of them")
        for name, change in self.changes.items():
            _demand_change(domain_of(self.state).field(name), change)
        values = {name: change.value for name, change in self.changes.items() if change.value is not None}
        object.__setattr__(self, "compiled", {name: compile_value(value) for name, value in values.items()})
        for name, (_, denominator) in self.compiled.items():
            _demand_size(domain_of(self.state).field(name), self.changes[name], denominator)

    @classmethod
    def of(cls, state: type[State], action: type[Action], /, **changes: object) -> Transition:
        """A model by field name: an expression, `becomes(...)`, or `ANY`.

        Raises:
            TransitionError: an expression that does not fit its field.
            DomainError: a name that is no field.
        """
        made = {name: one if isinstance(one, Next) else becomes(one) for name, one in changes.items()}
        return cls(state=state, action=action, changes=made)

    def named(self) -> frozenset[str]:
        """Fields of the state that the model changes to something definite, or reads."""
        if self.function is not None:
            return frozenset(domain_of(self.state).by_name)
        values = {name: change.value for name, change in self.changes.items() if change.value is not None}
        read = {one.field.name for value in values.values() for one in reads(value) if one.owner == "state"}
        return frozenset(values) | read

    def spread(self, states: Grid, action: Codes) -> tuple[Grid, Grid]:
        """Lowest and highest codes (n, field) after one step from each of some states."""
        chosen = numpy.array(action, dtype=numpy.int64)
        if self.function is not None:
            lows, highs = self.function(states, chosen)
            if not lows.shape == highs.shape == states.shape or (lows > highs).any():
                raise TransitionError("expected lowest and highest codes of the shape of the states, got others")
            return lows, highs
        lows, highs = states.copy(), states.copy()
        for name, change in self.changes.items():
            one = domain_of(self.state).field(name)
            if change.value is None:
                lows[:, one.index], highs[:, one.index] = one.low, one.high
                continue
            compute, denominator = self.compiled[name]
            value = numpy.asarray(compute(states, chosen), dtype=numpy.int64)
            for ends, extra, is_up in ((lows, change.least, False), (highs, change.most, True)):
                ends[:, one.index] = _held(one, change, _codes(value, denominator, one, extra, is_up=is_up))
        return lows, highs

    def box(self, facts: Facts, action: Codes) -> Box:
        """The same for one state, or for all that open facts allow, by the reference reading.

        Raises:
            TransitionError: open facts, where the model is a function.
        """
        fields = domain_of(self.state).fields
        if self.function is not None:
            if not facts.is_exact:
                raise TransitionError(
                    "expected exact facts for a model that is a function, got open ones; write it out"
                )
            lows, highs = self.spread(numpy.array([facts.codes], dtype=numpy.int64), action)
            return tuple(zip(lows[0].tolist(), highs[0].tolist(), strict=True))
        walk = Walk(facts, action)
        return tuple(_after(one, self.changes.get(one.name), walk, facts.span(one)) for one in fields)


def _codes(value: Any, denominator: int, one: FieldSpec, extra: Fraction, *, is_up: bool) -> Any:
    """The code of `value / denominator + extra` units, rounded down or up."""
    common = _common(denominator, one, extra)
    scaled = value * (common // denominator * one.denominator // one.numerator) + int(extra / one.step * common)
    return -(-scaled // common) if is_up else scaled // common


def _common(denominator: int, one: FieldSpec, extra: Fraction) -> int:
    """A denominator for the value, in steps of the field, and for what is added to it."""
    return math.lcm(denominator * one.numerator, (extra / one.step).denominator)


def _held(one: FieldSpec, change: Next, codes: Any) -> Any:
    return numpy.clip(codes, one.low, one.high) if change.is_held else codes


def _after(one: FieldSpec, change: Next | None, walk: Walk, span: tuple[int, int]) -> tuple[int, int]:
    """Lowest and highest code of a field after a step."""
    if change is None:
        return span
    if change.value is None:
        return one.low, one.high
    if one.kind is Kind.FLAG:
        found = walk.truth(change.value)
        return int(found is YES), int(found is not NO)
    reach = walk.number(change.value)
    low = math.floor((reach.low + change.least) / one.step)
    high = math.ceil((reach.high + change.most) / one.step)
    return (min(max(low, one.low), one.high), min(max(high, one.low), one.high)) if change.is_held else (low, high)


def _expression(value: object) -> Expr:
    if isinstance(value, NumberTerm | TruthTerm):
        return value.expr
    if isinstance(value, Expr.__args__):
        return cast(Expr, value)
    try:
        return Number(exact(value))
    except ExpressionError:
        raise TransitionError(
            f"expected an expression over state and action, got `{value!r:.60}`; write one, or ANY"
        ) from None


def _demand_size(one: FieldSpec, change: Next, denominator: int) -> None:
    """Refuse numbers that, in the parts that they are computed in, may not fit into 64 bits."""
    if one.kind is Kind.NUMBER and change.value is not None:
        reach = max(map(abs, Walk(None, None).number(change.value)))
        for extra in (change.least, change.most):
            if (reach + abs(extra)) / one.step * _common(denominator, one, extra) >= 2**62:
                raise TransitionError(
                    f"expected numbers below 2**62 for `{one.name}`, got larger ones; coarsen the steps"
                )


def _demand_change(one: FieldSpec, change: Next) -> None:
    value = change.value
    if value is None:
        return
    if not (is_number(value) if one.kind is Kind.NUMBER else one.kind is Kind.FLAG and is_truth(value)):
        raise TransitionError(
            f"expected a number for a number, a condition for a flag or ANY for `{one.name}`, got another; correct it"
        )
    if change.least > change.most:
        raise TransitionError(f"expected least <= most for `{one.name}`, got `{change.least}` and `{change.most}`")
    if one.kind is Kind.FLAG and (change.least or change.most or change.is_held):
        raise TransitionError(f"expected a range of outcomes for numbers alone, got one for `{one.name}`; use ANY")
    try:
        demand_divisors(value)
    except ExpressionError as error:
        raise TransitionError(f"`{one.name}`: {error}") from None
