"""Questions to the three readings that are generated as source, and the answers of the reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from random import Random
from types import ModuleType

from symbolic import Facts, Margin, codes_of, domain_of, truth
from symbolic.expression import Constant, Expr
from symbolic.reading.margin import degree
from symbolic.reading.reference import YES
from symbolic.reading.sentence import part
from tests.symbolic.drawn import condition, linear
from tests.symbolic.strategies import ACTIONS, ALL_READS, STATE_READS, Operate, Plant

CONDITIONS = 240
STATES = 6


@dataclass(frozen=True, slots=True)
class Case:
    """One question to a compiler, and the answer of the reference."""

    ask: Callable[[ModuleType], object]
    answer: object


REFUSED = "refused"


def _refusal(call: Callable[[], object]) -> object:
    try:
        return call()
    except ValueError:
        return REFUSED


@cache
def cases(name: str) -> Sequence[Case]:
    """The questions to one compiler, the cheapest first."""
    rng = Random(0)
    match name:
        case "compiled":
            sets = [_set(rng) for _ in range(CONDITIONS)]
            return [*_bounds(), *sets, *(_states(rng) for _ in range(CONDITIONS // 4))]
        case "measured":
            return [_degrees(rng) for _ in range(CONDITIONS)]
        case _:
            return [*_edges(), *(_bits(rng) for _ in range(CONDITIONS))]


def _bounds() -> Iterator[Case]:
    """Codes at and beyond each end of each field, and too few or many."""
    fields = domain_of(Plant).fields, domain_of(Operate).fields
    low = tuple(tuple(field.low for field in one) for one in fields)
    tries = [low, (low[0][:-1], low[1]), (low[0], low[1][:-1]), ((*low[0], 0), low[1]), (low[0], (*low[1], 0))]
    for owner in (0, 1):
        for field in fields[owner]:
            for code in (field.low - 1, field.low, field.high, field.high + 1):
                changed = list(low[owner])
                changed[field.index] = code
                tries.append((tuple(changed), low[1]) if owner == 0 else (low[0], tuple(changed)))
    for state, action in tries:
        is_inside = all(
            len(codes) == len(one) and all(f.low <= code <= f.high for f, code in zip(one, codes, strict=True))
            for one, codes in zip(fields, (state, action), strict=True)
        )
        yield Case(_asked([Constant(True)], state, action), [0] if is_inside else REFUSED)


def _asked(exprs: Sequence[Expr], state: tuple[int, ...], action: tuple[int, ...]) -> Callable[[ModuleType], object]:
    def ask(module: ModuleType) -> object:
        return _refusal(lambda: module.compile_rules(exprs, domain_of(Plant), domain_of(Operate))(state, action))

    return ask


def _state(rng: Random) -> tuple[int, ...]:
    return tuple(rng.randint(field.low, field.high) for field in domain_of(Plant).fields)


def _set(rng: Random) -> Case:
    """Two conditions at a few states and actions."""
    exprs = [condition(rng, ALL_READS) for _ in range(2)]
    points = [(_state(rng), rng.choice(ACTIONS)) for _ in range(STATES)]

    def ask(module: ModuleType) -> object:
        check = module.compile_rules(exprs, domain_of(Plant), domain_of(Operate))
        return [check(state, codes_of(action)) for state, action in points]

    answer = [
        [k for k, expr in enumerate(exprs) if truth(expr, Facts.from_codes(Plant, state), action) is YES]
        for state, action in points
    ]
    return Case(ask, answer)


def _states(rng: Random) -> Case:
    """Conditions that read the state alone."""
    exprs = [condition(rng, STATE_READS) for _ in range(2)]
    states = [_state(rng) for _ in range(STATES)]

    def ask(module: ModuleType) -> object:
        check = module.compile_conditions(exprs)
        return [tuple(check(state)) for state in states]

    return Case(ask, [tuple(truth(e, Facts.from_codes(Plant, state)) is YES for e in exprs) for state in states])


def _facts(state: tuple[int, ...]) -> Facts:
    return Facts.from_codes(Plant, state)


def _degrees(rng: Random) -> Case:
    """By how much two conditions hold, where they do: amounts and the comparisons that they are of."""
    exprs = [condition(rng, ALL_READS) for _ in range(2)]
    points = [(_state(rng), rng.choice(ACTIONS)) for _ in range(STATES)]

    def ask(module: ModuleType) -> object:
        measure = module.compile_measure(exprs, domain_of(Plant), domain_of(Operate))
        every = [measure.function(state, codes_of(action)) for state, action in points]
        return [[(found[0], measure.margin(found)) for found in one] for one in every]

    answer = [
        [(place, _margin(expr, state, action)) for place, expr in enumerate(exprs) if _holds(expr, state, action)]
        for state, action in points
    ]
    return Case(ask, answer)


def _holds(expr: Expr, state: tuple[int, ...], action: Operate) -> bool:
    return truth(expr, _facts(state), action) is YES


def _margin(expr: Expr, state: tuple[int, ...], action: Operate) -> Margin | None:
    found = degree(expr, _facts(state), codes_of(action))
    return None if found.comparison is None else Margin(Fraction(found.value), part(found.comparison, expr))


def _bits(rng: Random) -> Case:
    """Which actions break one of two rules, state by state."""
    exprs = [(linear if rng.random() < 0.3 else condition)(rng, ALL_READS) for _ in range(2)]
    states = [_state(rng) for _ in range(STATES)]

    def ask(module: ModuleType) -> object:
        broken = _masks(module, exprs)
        return [broken(state) for state in states]

    answer = [
        sum(1 << k for k, action in enumerate(ACTIONS) if any(_holds(expr, state, action) for expr in exprs))
        for state in states
    ]
    return Case(ask, answer)


def _masks(module: ModuleType, exprs: Sequence[Expr]) -> Callable[[tuple[int, ...]], int]:
    actions = [codes_of(action) for action in ACTIONS]
    found: Callable[[tuple[int, ...]], int] = module.compile_masks(exprs, actions, domain_of(Plant), domain_of(Operate))
    return found


def _edges() -> Iterator[Case]:
    """States at and beyond the ends of each field, and too short or long."""
    fields = domain_of(Plant).fields
    low = tuple(field.low for field in fields)
    tries = [low, low[:-1], (*low, 0)]
    tries += [
        tuple(code if field is one else field.low for field in fields)
        for one in fields
        for code in (one.low - 1, one.high, one.high + 1)
    ]
    for state in tries:
        is_inside = len(state) == len(fields) and all(
            one.low <= code <= one.high for one, code in zip(fields, state, strict=True)
        )
        answer = (1 << len(ACTIONS)) - 1 if is_inside else REFUSED
        yield Case(lambda module, state=state: _refusal(lambda: _masks(module, [Constant(True)])(state)), answer)
