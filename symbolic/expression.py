"""The typed tree that a rule is: plain data, frozen, comparable and hashable."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from typing import Final, TypeAlias, cast

from symbolic.field import FieldSpec, Kind
from symbolic.neighbours import Neighbours

MAX_NODES: Final = 512
"""A larger tree is refused when its rule is declared."""

MAX_DEPTH: Final = 48
"""A deeper tree is refused when its rule is declared."""

MOST_DIGITS: Final = 300
"""Digits of a constant, above and below the line: larger ones have no float."""

MAX_NESTING: Final = 2
"""Quantifiers within each other, this one counted."""


class ExpressionError(ValueError):
    """A symbolic value used in a way that has no meaning as a rule: one line, with what to write instead."""


class Owner(StrEnum):
    """Whose field is read."""

    STATE = "state"
    ACTION = "action"


class Arithmetic(StrEnum):
    """Operations from numbers to a number; floor division and modulo as in Python: the rest has the divisor's sign."""

    ADD = "add"
    SUBTRACT = "subtract"
    MULTIPLY = "multiply"
    FLOOR_DIVIDE = "floor_divide"
    MODULO = "modulo"
    NEGATE = "negate"
    MINIMUM = "minimum"
    MAXIMUM = "maximum"
    ABSOLUTE = "absolute"


DIVISIONS: Final = frozenset({Arithmetic.FLOOR_DIVIDE, Arithmetic.MODULO})
"""Operations whose second operand must never be 0 (`reference.demand_divisors`)."""


class Order(StrEnum):
    """Comparisons of two numbers."""

    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    EQ = "=="
    NE = "!="


class Junction(StrEnum):
    """Connectives of truths."""

    AND = "and"
    OR = "or"
    IMPLIES = "implies"
    IFF = "iff"


class Quantifier(StrEnum):
    """What is said of the neighbours who are there: a truth of all, of one at least, or how many (a number)."""

    ALL = "all"
    ANY = "any"
    COUNT = "count"


class Tense(StrEnum):
    """Truths about what was perceived until now: `symbolic/remembering` says what each means."""

    PREV = "prev"
    ONCE = "once"
    HISTORICALLY = "historically"
    SINCE = "since"
    HELD_FOR = "held_for"
    RISING = "rising"


@dataclass(frozen=True, slots=True)
class Number:
    """An exact constant."""

    value: Fraction


@dataclass(frozen=True, slots=True)
class Read:
    """One field: a number, a truth (boolean field) or a choice (only inside `Member` and `Same`)."""

    owner: Owner
    field: FieldSpec
    of: str = dataclasses.field(default="", repr=False)
    """The name that a quantifier gave to the neighbour whose field it is; empty for fields of state and action."""


@dataclass(frozen=True, slots=True)
class Compute:
    """A number from numbers; unary for negate and absolute, two or more operands for minimum, maximum and add."""

    op: Arithmetic
    args: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Choose:
    """One of two numbers, by a condition."""

    condition: Expr
    then: Expr
    otherwise: Expr


@dataclass(frozen=True, slots=True)
class Compare:
    """Two numbers compared exactly, across different steps."""

    op: Order
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Member:
    """A choice is one of some of its values."""

    read: Read
    codes: tuple[int, ...]
    """Sorted codes of the values."""


@dataclass(frozen=True, slots=True)
class Same:
    """Two choices have the same word (their declarations may list different words)."""

    left: Read
    right: Read


@dataclass(frozen=True, slots=True)
class Constant:
    """True or false."""

    value: bool


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    arg: Expr


@dataclass(frozen=True, slots=True)
class Join:
    """Truths connected; two operands for implies and iff, two or more for and and or."""

    op: Junction
    args: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Quantified:
    """A condition of all, some or a number of neighbours. No part of the plain tree: see `unrolling.py`."""

    op: Quantifier
    over: Neighbours
    name: str
    """What the condition calls the neighbour."""
    body: Expr


@dataclass(frozen=True, slots=True)
class Past:
    """A truth about what was perceived until now; the plain tree reads a field of the state instead."""

    op: Tense
    args: tuple[Expr, ...]
    """Conditions over the state: two for since, one for the others."""
    window_s: Fraction | None = None
    """How far back it looks, or how long it must have held (held_for); None = to the beginning."""


@dataclass(frozen=True, slots=True)
class Remaining:
    """Seconds that are left until a deadline; the plain tree reads a field of the state instead."""

    trigger: Expr
    done: Expr
    window_s: Fraction
    """Time from the trigger to the deadline."""
    step_s: Fraction
    """What it is counted in, rounded down; one step below 0 says that the deadline is missed."""


Expr: TypeAlias = (
    Number | Read | Compute | Choose | Compare | Member | Same | Constant | Not | Join | Quantified | Past | Remaining
)


def children(expr: Expr) -> tuple[Expr, ...]:
    """The direct parts of a node."""
    match expr:
        case Compute() | Join() | Past():
            return expr.args
        case Remaining():
            return (expr.trigger, expr.done)
        case Choose():
            return (expr.condition, expr.then, expr.otherwise)
        case Compare() | Same():
            return (expr.left, expr.right)
        case Not():
            return (expr.arg,)
        case Member():
            return (expr.read,)
        case Quantified():
            return (expr.body,)
        case _:
            return ()


def rebuilt(expr: Expr, parts: Sequence[Expr]) -> Expr:
    """The same node with other direct parts, in the order of `children`."""
    match expr:
        case Compute() | Join() | Past():
            return replace(expr, args=tuple(parts))
        case Remaining():
            return Remaining(parts[0], parts[1], expr.window_s, expr.step_s)
        case Choose():
            return Choose(*parts)
        case Compare():
            return Compare(expr.op, *parts)
        case Same():
            return Same(*cast("Sequence[Read]", parts))
        case Not():
            return Not(*parts)
        case Member():
            return Member(cast(Read, parts[0]), expr.codes)
        case Quantified():
            return replace(expr, body=parts[0])
        case _:
            return expr


def renamed(expr: Expr, other: Callable[[Read], Read]) -> Expr:
    """A plain expression with every field replaced; fields must keep their kind, step and words."""
    if isinstance(expr, Read):
        return other(expr)
    parts = children(expr)
    return rebuilt(expr, tuple(renamed(part, other) for part in parts)) if parts else expr


def walk(expr: Expr) -> Iterator[Expr]:
    """Every node, parents first."""
    stack = [expr]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(children(node)))


def reads(expr: Expr) -> tuple[Read, ...]:
    """The fields that an expression reads, in order of first appearance."""
    return tuple(dict.fromkeys(node for node in walk(expr) if isinstance(node, Read)))


def is_nonlinear(expr: Expr) -> bool:
    """True where two numbers that both depend on fields are multiplied, or one is divided by a field."""
    return any(
        isinstance(node, Compute)
        and (
            (node.op is Arithmetic.MULTIPLY and all(reads(arg) for arg in node.args))
            or (node.op in DIVISIONS and bool(reads(node.args[1])))
        )
        for node in walk(expr)
    )


def is_truth(expr: Expr) -> bool:
    """True for expressions that are true or false, False for numbers and bare choices."""
    match expr:
        case Read():
            return expr.field.kind is Kind.FLAG
        case Number() | Compute() | Choose() | Remaining() | Quantified(Quantifier.COUNT):
            return False
        case _:
            return True


def is_number(expr: Expr) -> bool:
    """True for expressions that are numbers."""
    match expr:
        case Read():
            return expr.field.kind is Kind.NUMBER
        case Number() | Compute() | Choose() | Remaining() | Quantified(Quantifier.COUNT):
            return True
        case _:
            return False


def demand_budget(expr: Expr, most: int = MAX_NODES) -> None:
    """Refuse a tree of more than `most` nodes or `MAX_DEPTH` levels."""
    nodes, depth, layer = 0, 0, [expr]
    while layer:
        nodes, depth = nodes + len(layer), depth + 1
        if nodes > most or depth > MAX_DEPTH:
            raise ExpressionError(
                f"expected at most {most} nodes and {MAX_DEPTH} levels, got a larger expression; split the rule"
            )
        for node in layer:
            if isinstance(node, Number):
                demand_digits(node.value)
        layer = [child for node in layer for child in children(node)]


def demand_digits(value: Fraction) -> None:
    """Refuse a constant of more than `MOST_DIGITS` digits."""
    if max(abs(value.numerator), value.denominator) >= 10**MOST_DIGITS:
        raise ExpressionError(f"expected a number of at most {MOST_DIGITS} digits, got a longer one; scale the field")
