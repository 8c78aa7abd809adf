"""How far apart two actions are: a declared cost of each field's change, added up (a weighted L1 distance).

    metric = Metric.of(Drive, acceleration=2, hazard_lights=5, lane={("left", "right"): 3, ("left", "keep"): 2, ...})

Of actions that are equally far, the first in declaration order is meant (order of labels, that is of codes).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from itertools import product
from typing import Final, TypeAlias

from symbolic.domain import Action, State, actions_of, codes_of, domain_of
from symbolic.field import FieldSpec, Kind, show_value

MAX_KEPT: Final = 256
"""Wanted actions whose rings are kept."""

Codes: TypeAlias = tuple[int, ...]

Table: TypeAlias = tuple[tuple[Fraction, ...], ...]
"""Cost from each word of a choice (row) to each, in declaration order."""

Cost: TypeAlias = Fraction | Table
"""Of a number: cost of one unit. Of a flag or a choice: cost of any change. Of a choice also: a table between words."""

Given: TypeAlias = float | Fraction | Mapping[tuple[str, str], float | Fraction]
"""A cost as users write it; a table names each pair of words once, in either order."""


class MetricError(ValueError):
    """Costs that are no metric of an action type: one line, with what to do."""


@dataclass(frozen=True, slots=True)
class Metric:
    """Distance between two actions, or states, of one type; costs are positive, symmetric, and no detour is cheaper."""

    schema: type[Action] | type[State]
    costs: tuple[Cost, ...]
    """Of each field, in declaration order."""
    scale: int = field(init=False, compare=False)
    """Distances are whole multiples of one part in so many."""
    weights: tuple[int | tuple[Codes, ...], ...] = field(init=False, compare=False)
    """Costs in those parts: of one grid step, of a change, or between words."""
    known: dict[Codes, tuple[int, ...]] = field(init=False, repr=False, compare=False, default_factory=dict)
    """Cache of `rings`."""

    def __post_init__(self) -> None:
        """Refuse costs that are no metric, and make whole numbers of them."""
        fields = domain_of(self.schema).fields
        if len(self.costs) != len(fields):
            raise MetricError(f"expected {len(fields)} costs, got {len(self.costs)}; give one for each field")
        for one, cost in zip(fields, self.costs, strict=True):
            _demand_shape(one, cost)
        steps = [_step(one, cost) for one, cost in zip(fields, self.costs, strict=True)]
        scale = math.lcm(*(part.denominator for cost in steps for part in _parts(cost)))
        whole = tuple(
            tuple(tuple(int(part * scale) for part in row) for row in cost)
            if isinstance(cost, tuple)
            else int(cost * scale)
            for cost in steps
        )
        for one, weight in zip(fields, whole, strict=True):
            if isinstance(weight, tuple):
                _demand_table(one, weight)
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "weights", whole)

    @classmethod
    def of(cls, schema: type[Action] | type[State], /, **costs: Given) -> Metric:
        """A metric by field name; every field must be given. A decimal means what is written."""
        domain = domain_of(schema)
        for name in costs:
            domain.field(name)
        missing = [name for name in domain.by_name if name not in costs]
        if missing:
            raise MetricError(f"expected a cost for `{missing[0]}`, got none; give one for each field")
        return cls(schema, tuple(_read(one, costs[one.name]) for one in domain.fields))

    @classmethod
    def steps(cls, schema: type[Action] | type[State]) -> Metric:
        """The metric where none is declared: each grid step costs 1, and each place between two words or truths."""
        return _steps(schema)

    def away(self, left: Codes, right: Codes) -> int:
        """Distance of two actions by their codes, in parts of `scale`."""
        total = 0
        for one, weight, here, there in zip(domain_of(self.schema).fields, self.weights, left, right, strict=True):
            if isinstance(weight, tuple):
                total += weight[here][there]
            else:
                total += weight * (abs(here - there) if one.kind is Kind.NUMBER else here != there)
        return total

    def distance(self, left: Action, right: Action) -> Fraction:
        """Distance of two actions."""
        for action in (left, right):
            if type(action) is not self.schema:
                raise TypeError(
                    f"expected an action of `{self.schema.__name__}`, got `{type(action).__name__}`; parse it first"
                )
        return Fraction(self.away(codes_of(left), codes_of(right)), self.scale)

    def rings(self, wanted: Codes) -> tuple[int, ...]:
        """The actions of the list by distance from one, nearest first: bits of those that are equally far."""
        if wanted not in self.known:
            if len(self.known) >= MAX_KEPT:
                self.known.clear()
            if not issubclass(self.schema, Action):
                raise MetricError(
                    f"expected a metric of actions, got one of `{self.schema.__name__}`; only they are listed"
                )
            bits: dict[int, int] = {}
            for place, action in enumerate(actions_of(self.schema)):
                away = self.away(wanted, codes_of(action))
                bits[away] = bits.get(away, 0) | 1 << place
            self.known[wanted] = tuple(bits[away] for away in sorted(bits))
        return self.known[wanted]

    def record(self) -> dict[str, object]:
        """Costs by field as plain data: a fraction as text, a table as rows of them."""
        return {
            one.name: [[str(part) for part in row] for row in cost] if isinstance(cost, tuple) else str(cost)
            for one, cost in zip(domain_of(self.schema).fields, self.costs, strict=True)
        }

    def to_json(self) -> str:
        """Canonical JSON, version 1."""
        record = {"action": self.schema.__name__, "costs": self.record(), "version": 1}
        return json.dumps(record, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str, schema: type[Action]) -> Metric:
        """Read `to_json` text back; anything else, or costs of another type, is a `MetricError`."""
        try:
            record = json.loads(text)
            name, costs, version = record["action"], dict(record["costs"]), record["version"]
            is_ours = name == schema.__name__ and version == 1 and set(costs) == set(domain_of(schema).by_name)
            parsed = tuple(_from_plain(costs[one]) for one in domain_of(schema).by_name) if is_ours else ()
        except (ValueError, KeyError, TypeError, ZeroDivisionError, RecursionError):
            raise MetricError(f"expected a metric as JSON, got {show_value(text)}; give the text of to_json") from None
        if not is_ours:
            raise MetricError(f"expected version 1 of a metric of `{schema.__name__}`, got another; declare it anew")
        return cls(schema, parsed)


def demand_metric(schema: type[Action], wanted: Action, metric: Metric | None) -> Metric:
    """The metric, or steps where none is given; an action or a metric of another type is refused."""
    if type(wanted) is not schema:
        raise TypeError(f"expected an action of `{schema.__name__}`, got `{type(wanted).__name__}`; parse it first")
    if metric is not None and metric.schema is not schema:
        raise MetricError(
            f"expected a metric of `{schema.__name__}`, got one of `{metric.schema.__name__}`; declare its own"
        )
    return metric or Metric.steps(schema)


@lru_cache(maxsize=64)
def _steps(schema: type[Action] | type[State]) -> Metric:
    return Metric(schema, tuple(_step_cost(one) for one in domain_of(schema).fields))


def _step_cost(one: FieldSpec) -> Cost:
    if one.kind is Kind.CHOICE:
        places = range(len(one.words))
        return tuple(tuple(Fraction(abs(here - there)) for there in places) for here in places)
    return 1 / one.step if one.kind is Kind.NUMBER else Fraction(1)


def _step(one: FieldSpec, cost: Cost) -> Cost:
    """The cost of one grid step for a number, the same for the rest."""
    return cost * one.step if one.kind is Kind.NUMBER and isinstance(cost, Fraction) else cost


def _parts(cost: Cost) -> list[Fraction]:
    return [part for row in cost for part in row] if isinstance(cost, tuple) else [cost]


def _read(one: FieldSpec, given: Given) -> Cost:
    """A cost as declared; a table by pairs becomes rows."""
    if not isinstance(given, Mapping):
        return _fraction(one, given)
    both = [*given.items(), *((tuple(reversed(pair)), cost) for pair, cost in given.items())]
    known = {pair: _fraction(one, cost) for pair, cost in both}
    wanted = {pair for pair in product(one.words, repeat=2) if pair[0] != pair[1]}
    if len(known) != len(both) or set(known) != wanted:
        raise MetricError(
            f"expected a cost for each pair of different words of `{one.name}` once, got {show_value(dict(given))}; "
            "name every pair"
        )
    return tuple(tuple(known.get((here, there), Fraction()) for there in one.words) for here in one.words)


def _fraction(one: FieldSpec, value: object) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, int | float | Fraction) or not math.isfinite(value):
        raise MetricError(f"expected a finite cost for `{one.name}`, got {show_value(value)}; give a positive number")
    return Fraction(repr(value)) if isinstance(value, float) else Fraction(value)


def _from_plain(plain: object) -> Cost:
    if isinstance(plain, list):
        return tuple(tuple(Fraction(str(part)) for part in row) for row in plain)
    return Fraction(str(plain))


def _demand_shape(one: FieldSpec, cost: Cost) -> None:
    if isinstance(cost, Fraction):
        if cost <= 0:
            raise MetricError(f"expected a cost above 0 for `{one.name}`, got `{cost}`; free changes have no nearest")
        return
    size = len(one.words)
    if one.kind is not Kind.CHOICE or len(cost) != size or any(len(row) != size for row in cost):
        raise MetricError(f"expected a cost or a table of the {size} words of `{one.name}`, got another; correct it")


def _demand_table(one: FieldSpec, cost: tuple[Codes, ...]) -> None:
    places = range(len(cost))
    for here, there in product(places, repeat=2):
        if (cost[here][there] <= 0) is not (here == there) or cost[here][there] != cost[there][here]:
            raise MetricError(
                f"expected costs above 0 and the same both ways for `{one.name}`, got others between "
                f"`{one.words[here]}` and `{one.words[there]}`; correct the table"
            )
    for here, over, there in product(places, repeat=3):
        if cost[here][over] + cost[over][there] < cost[here][there]:
            raise MetricError(
                f"expected no detour to be cheaper for `{one.name}`, got one from `{one.words[here]}` to "
                f"`{one.words[there]}` over `{one.words[over]}`; correct the table"
            )
