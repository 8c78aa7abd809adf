"""The typed tree that a rule is, and the symbolic values that users write it with.

The tree (`Expr`) is plain data: frozen, comparable, hashable, with canonical JSON. The symbolic values
(`NumberTerm`, `TruthTerm`, `ChoiceTerm`) only build it by operators; asking one for its truth, hash or
length is an error, so that `and`, `or`, `not`, `if` and chained comparisons cannot be misread in silence.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any, Final, NoReturn, TypeAlias, cast, overload

from symbolic.domain import Action, DomainError, FieldSpec, Kind, State, domain_of

MAX_NODES: Final = 512
"""A larger tree is refused when its rule is declared."""

MAX_DEPTH: Final = 48
"""A deeper tree is refused when its rule is declared."""


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


@dataclass(frozen=True, slots=True)
class Number:
    """An exact constant."""

    value: Fraction


@dataclass(frozen=True, slots=True)
class Read:
    """One field: a number, a truth (boolean field) or a choice (only inside `Member` and `Same`)."""

    owner: Owner
    field: FieldSpec


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


Expr: TypeAlias = Number | Read | Compute | Choose | Compare | Member | Same | Constant | Not | Join


def children(expr: Expr) -> tuple[Expr, ...]:
    """The direct parts of a node."""
    match expr:
        case Compute() | Join():
            return expr.args
        case Choose():
            return (expr.condition, expr.then, expr.otherwise)
        case Compare() | Same():
            return (expr.left, expr.right)
        case Not():
            return (expr.arg,)
        case Member():
            return (expr.read,)
        case _:
            return ()


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
        case Number() | Compute() | Choose():
            return False
        case _:
            return True


def is_number(expr: Expr) -> bool:
    """True for expressions that are numbers."""
    return isinstance(expr, Number | Compute | Choose) or (isinstance(expr, Read) and expr.field.kind is Kind.NUMBER)


def demand_budget(expr: Expr) -> None:
    """Refuse a tree above `MAX_NODES` or `MAX_DEPTH`."""
    nodes, depth, layer = 0, 0, [expr]
    while layer:
        nodes, depth = nodes + len(layer), depth + 1
        if nodes > MAX_NODES or depth > MAX_DEPTH:
            raise ExpressionError(
                f"expected at most {MAX_NODES} nodes and {MAX_DEPTH} levels, got a larger expression; split the rule"
            )
        layer = [child for node in layer for child in children(node)]


def exact(value: object) -> Fraction:
    """The decimal that a Python number was written as, exactly."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Fraction)):
        raise ExpressionError(f"expected a number, got `{value!r}`; compare numbers with numbers")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ExpressionError(f"expected a finite number, got `{value!r}`; write a bound of the field")
        return Fraction(repr(value))
    return Fraction(value)


# Symbolic values


class _Term:
    """What all symbolic values share: an expression, and no truth, hash, length or order of its own."""

    __slots__ = ("expr",)

    def __init__(self, expr: Expr) -> None:
        self.expr = expr

    def __bool__(self) -> NoReturn:
        raise ExpressionError(
            "expected `&`, `|`, `~` and single comparisons, got a truth test of an expression; "
            "write `(a < b) & (b < c)` for `and` or `a < b < c`, `ite` for `if`, `isin` for `in`"
        )

    def __hash__(self) -> int:
        raise ExpressionError("expected an expression in a rule, got one as a key or set member; use `isin`")

    def __iter__(self) -> NoReturn:
        raise ExpressionError("expected one value, got an expression to iterate over; name the fields one by one")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({to_json(self.expr)})"


class NumberTerm(_Term):
    """A symbolic number: `+ - *`, `/` by constants, `//` and `%` by what is never 0, comparisons."""

    __slots__ = ()

    def __add__(self, other: Numeric) -> NumberTerm:
        return NumberTerm(_sum(self.expr, number_of(other)))

    def __radd__(self, other: Numeric) -> NumberTerm:
        return NumberTerm(_sum(number_of(other), self.expr))

    def __sub__(self, other: Numeric) -> NumberTerm:
        return NumberTerm(Compute(Arithmetic.SUBTRACT, (self.expr, number_of(other))))

    def __rsub__(self, other: Numeric) -> NumberTerm:
        return NumberTerm(Compute(Arithmetic.SUBTRACT, (number_of(other), self.expr)))

    def __mul__(self, other: Numeric) -> NumberTerm:
        return NumberTerm(Compute(Arithmetic.MULTIPLY, (self.expr, number_of(other))))

    def __rmul__(self, other: Numeric) -> NumberTerm:
        return NumberTerm(Compute(Arithmetic.MULTIPLY, (number_of(other), self.expr)))

    def __truediv__(self, other: Numeric) -> NumberTerm:
        divisor = number_of(other)
        if not isinstance(divisor, Number) or divisor.value == 0:
            raise ExpressionError(
                "expected a constant divisor other than 0, got another; multiply the other side instead"
            )
        return NumberTerm(Compute(Arithmetic.MULTIPLY, (self.expr, Number(1 / divisor.value))))

    def __floordiv__(self, other: Numeric) -> NumberTerm:
        return NumberTerm(Compute(Arithmetic.FLOOR_DIVIDE, (self.expr, number_of(other))))

    def __rfloordiv__(self, other: Numeric) -> NumberTerm:
        return NumberTerm(Compute(Arithmetic.FLOOR_DIVIDE, (number_of(other), self.expr)))

    def __mod__(self, other: Numeric) -> NumberTerm:
        return NumberTerm(Compute(Arithmetic.MODULO, (self.expr, number_of(other))))

    def __rmod__(self, other: Numeric) -> NumberTerm:
        return NumberTerm(Compute(Arithmetic.MODULO, (number_of(other), self.expr)))

    def __neg__(self) -> NumberTerm:
        return NumberTerm(Compute(Arithmetic.NEGATE, (self.expr,)))

    def __pos__(self) -> NumberTerm:
        return self

    def __abs__(self) -> NumberTerm:
        return NumberTerm(Compute(Arithmetic.ABSOLUTE, (self.expr,)))

    def __lt__(self, other: Numeric) -> TruthTerm:
        return TruthTerm(Compare(Order.LT, self.expr, number_of(other)))

    def __le__(self, other: Numeric) -> TruthTerm:
        return TruthTerm(Compare(Order.LE, self.expr, number_of(other)))

    def __gt__(self, other: Numeric) -> TruthTerm:
        return TruthTerm(Compare(Order.GT, self.expr, number_of(other)))

    def __ge__(self, other: Numeric) -> TruthTerm:
        return TruthTerm(Compare(Order.GE, self.expr, number_of(other)))

    def __eq__(self, other: object) -> TruthTerm:  # type: ignore[override]
        return TruthTerm(Compare(Order.EQ, self.expr, number_of(other)))

    def __ne__(self, other: object) -> TruthTerm:  # type: ignore[override]
        return TruthTerm(Compare(Order.NE, self.expr, number_of(other)))

    def isin(self, *values: float) -> TruthTerm:
        """True where the number is one of the values."""
        _demand_values(values)
        options = [Compare(Order.EQ, self.expr, number_of(value)) for value in values]
        return TruthTerm(options[0] if len(options) == 1 else Join(Junction.OR, tuple(options)))

    __hash__ = _Term.__hash__


class TruthTerm(_Term):
    """A symbolic truth: `& | ~`, `==` and `!=` with another truth."""

    __slots__ = ()

    def __and__(self, other: Truthy) -> TruthTerm:
        return TruthTerm(_join(Junction.AND, self.expr, truth_of(other)))

    def __rand__(self, other: Truthy) -> TruthTerm:
        return TruthTerm(_join(Junction.AND, truth_of(other), self.expr))

    def __or__(self, other: Truthy) -> TruthTerm:
        return TruthTerm(_join(Junction.OR, self.expr, truth_of(other)))

    def __ror__(self, other: Truthy) -> TruthTerm:
        return TruthTerm(_join(Junction.OR, truth_of(other), self.expr))

    def __invert__(self) -> TruthTerm:
        return TruthTerm(self.expr.arg if isinstance(self.expr, Not) else Not(self.expr))

    def __eq__(self, other: object) -> TruthTerm:  # type: ignore[override]
        return TruthTerm(Join(Junction.IFF, (self.expr, truth_of(other))))

    def __ne__(self, other: object) -> TruthTerm:  # type: ignore[override]
        return TruthTerm(Not(Join(Junction.IFF, (self.expr, truth_of(other)))))

    __hash__ = _Term.__hash__


class ChoiceTerm(_Term):
    """A symbolic choice: `==` and `!=` with a word or another choice, `isin`."""

    __slots__ = ()
    expr: Read

    def __eq__(self, other: object) -> TruthTerm:  # type: ignore[override]
        if isinstance(other, ChoiceTerm):
            return TruthTerm(_same(self.expr, other.expr))
        return self.isin(cast(str, other))

    def __ne__(self, other: object) -> TruthTerm:  # type: ignore[override]
        return ~(self == other)

    def isin(self, *words: str) -> TruthTerm:
        """True where the choice is one of the words."""
        _demand_values(words)
        return TruthTerm(Member(self.expr, tuple(sorted({_code_of(self.expr.field, word) for word in words}))))

    def __contains__(self, item: object) -> NoReturn:
        raise ExpressionError("expected `==` or `isin` on a choice, got `in`; write `s.light.isin('red', 'amber')`")

    __hash__ = _Term.__hash__


Numeric: TypeAlias = NumberTerm | float
Truthy: TypeAlias = TruthTerm | bool
Term: TypeAlias = NumberTerm | TruthTerm | ChoiceTerm


def _demand_values(values: tuple[object, ...]) -> None:
    if not values:
        raise ExpressionError("expected at least one value, got an empty set; it would never hold")
    if any(isinstance(value, (list, tuple, set, frozenset)) for value in values):
        raise ExpressionError("expected single values, got a collection; spread it with `isin(*values)`")


def _code_of(field: FieldSpec, word: object) -> int:
    try:
        return field.encode(word)
    except DomainError as error:
        raise ExpressionError(str(error)) from None


def _same(left: Read, right: Read) -> Expr:
    shared = set(left.field.words) & set(right.field.words)
    if not shared:
        raise ExpressionError(
            f"expected `{left.field.name}` and `{right.field.name}` to share a value, got none; they are never equal"
        )
    return Same(left, right)


def _sum(left: Expr, right: Expr) -> Expr:
    parts = left.args if isinstance(left, Compute) and left.op is Arithmetic.ADD else (left,)
    return Compute(Arithmetic.ADD, (*parts, right))


def _join(op: Junction, left: Expr, right: Expr) -> Expr:
    parts = left.args if isinstance(left, Join) and left.op is op else (left,)
    return Join(op, (*parts, right))


def number_of(value: object) -> Expr:
    """The number expression of a term or Python number; anything else is an `ExpressionError`."""
    if isinstance(value, NumberTerm):
        return value.expr
    if isinstance(value, _Term):
        raise ExpressionError(f"expected a number, got {_sort(value)}; compare like with like")
    return Number(exact(value))


def truth_of(value: object) -> Expr:
    """The truth expression of a term or Python bool; anything else is an `ExpressionError`."""
    if isinstance(value, TruthTerm):
        return value.expr
    if isinstance(value, bool):
        return Constant(value)
    if isinstance(value, _Term):
        raise ExpressionError(f"expected a condition, got {_sort(value)}; compare it with a value")
    raise ExpressionError(f"expected a condition, got `{value!r}`; combine conditions with `&`, `|`, `~`")


def _sort(term: _Term) -> str:
    names = {NumberTerm: "a number", TruthTerm: "a condition", ChoiceTerm: "a choice"}
    return names[type(term)]


@overload
def implies(condition: bool, consequence: bool) -> bool: ...
@overload
def implies(condition: TruthTerm, consequence: Truthy) -> TruthTerm: ...
def implies(condition: Truthy, consequence: Truthy) -> Truthy:
    """True unless the condition holds and the consequence does not."""
    return TruthTerm(Join(Junction.IMPLIES, (truth_of(condition), truth_of(consequence))))


@overload
def negate(condition: bool) -> bool: ...
@overload
def negate(condition: TruthTerm) -> TruthTerm: ...
def negate(condition: Truthy) -> Truthy:
    """The opposite: `~` for those who want type checkers to read a bool."""
    return ~TruthTerm(truth_of(condition))


@overload
def among(choice: str, *words: str) -> bool: ...
@overload
def among(choice: ChoiceTerm, *words: str) -> TruthTerm: ...
def among(choice: ChoiceTerm | str, *words: str) -> Truthy:
    """True where a choice is one of the words: `isin` for those who want type checkers to read a bool."""
    if not isinstance(choice, ChoiceTerm):
        raise ExpressionError(f"expected a choice field, got `{choice!r}`; give the field first")
    return choice.isin(*words)


@overload
def ite(condition: bool, then: float, otherwise: float) -> float: ...
@overload
def ite(condition: TruthTerm, then: Numeric, otherwise: Numeric) -> NumberTerm: ...
def ite(condition: Truthy, then: Numeric, otherwise: Numeric) -> Numeric:
    """The first number where the condition holds, else the second."""
    return NumberTerm(Choose(truth_of(condition), number_of(then), number_of(otherwise)))


@overload
def minimum(*numbers: float) -> float: ...
@overload
def minimum(first: NumberTerm, /, *rest: Numeric) -> NumberTerm: ...
def minimum(*numbers: Numeric) -> Numeric:
    """The least of the numbers."""
    return NumberTerm(_extreme(Arithmetic.MINIMUM, numbers))


@overload
def maximum(*numbers: float) -> float: ...
@overload
def maximum(first: NumberTerm, /, *rest: Numeric) -> NumberTerm: ...
def maximum(*numbers: Numeric) -> Numeric:
    """The greatest of the numbers."""
    return NumberTerm(_extreme(Arithmetic.MAXIMUM, numbers))


def _extreme(op: Arithmetic, numbers: tuple[Numeric, ...]) -> Expr:
    if not numbers:
        raise ExpressionError(f"expected at least one number for `{op.value}`, got none; give the operands")
    return number_of(numbers[0]) if len(numbers) == 1 else Compute(op, tuple(map(number_of, numbers)))


@overload
def absolute(number: float) -> float: ...
@overload
def absolute(number: NumberTerm) -> NumberTerm: ...
def absolute(number: Numeric) -> Numeric:
    """The number without its sign."""
    return abs(NumberTerm(number_of(number)))


class Fields:
    """Symbolic fields of a state or action type, by attribute: what stands for `s` and `a` in a rule."""

    __slots__ = ("_domain", "_owner")

    def __init__(self, schema: type[State] | type[Action]) -> None:
        self._domain = domain_of(schema)
        self._owner = Owner.STATE if issubclass(schema, State) else Owner.ACTION

    def __getattr__(self, name: str) -> Any:
        """The symbolic value of one field (its sort is known at run time only); an undeclared name is an error."""
        return self[name]

    def __getitem__(self, name: str) -> Term:
        """The same by text; an undeclared name is an `ExpressionError`."""
        try:
            return term_of(Read(self._owner, self._domain.field(name)))
        except DomainError as error:
            raise ExpressionError(str(error)) from None


def fields(schema: type[State] | type[Action]) -> Fields:
    """Symbolic fields of a type, for rules that are built without a function."""
    return Fields(schema)


def term_of(read: Read) -> Term:
    """The symbolic value of one field."""
    match read.field.kind:
        case Kind.NUMBER:
            return NumberTerm(read)
        case Kind.FLAG:
            return TruthTerm(read)
        case Kind.CHOICE:
            return ChoiceTerm(read)


# Canonical JSON

Json: TypeAlias = "list[Json] | str | bool"


def to_plain(expr: Expr) -> list[object]:
    """The expression as nested lists; the first item names the node."""
    match expr:
        case Number():
            return ["number", str(expr.value)]
        case Read():
            return ["read", expr.owner.value, expr.field.name]
        case Constant():
            return ["constant", expr.value]
        case Member():
            return ["member", to_plain(expr.read), *(expr.read.field.words[code] for code in expr.codes)]
        case Compare() | Compute() | Join():
            return [expr.op.value, *map(to_plain, children(expr))]
        case Same():
            return ["same", *map(to_plain, children(expr))]
        case Not():
            return ["not", *map(to_plain, children(expr))]
        case Choose():
            return ["choose", *map(to_plain, children(expr))]


def to_json(expr: Expr) -> str:
    """Canonical JSON text: equal trees have equal texts."""
    return json.dumps(to_plain(expr), separators=(",", ":"))


def sha256(expr: Expr) -> str:
    """Hash of the canonical JSON, as hexadecimal text."""
    return hashlib.sha256(to_json(expr).encode()).hexdigest()


def from_json(text: str, state: type[State], action: type[Action]) -> Expr:
    """Read canonical JSON back against the types that it speaks of; anything else is an `ExpressionError`."""
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError):
        raise ExpressionError("expected an expression as JSON, got other text; give the text of to_json") from None
    return from_plain(plain, state, action)


def from_plain(plain: object, state: type[State], action: type[Action], depth: int = MAX_DEPTH) -> Expr:
    """Read nested lists back; every node is checked as if it had been written by hand."""
    if depth <= 0:
        raise ExpressionError(f"expected at most {MAX_DEPTH} levels, got a deeper expression; split the rule")
    match plain:
        case ["number", str(text)]:
            return Number(_fraction(text))
        case ["constant", bool(value)]:
            return Constant(value)
        case ["read", "state" | "action" as owner, str(name)]:
            return cast(Read, (fields(state) if owner == "state" else fields(action))[name].expr)
        case ["member", read, *words]:
            return _choice(from_plain(read, state, action, depth - 1)).isin(*cast(list[str], words)).expr
        case ["same", left, right]:
            return _same(*(_choice(from_plain(part, state, action, depth - 1)).expr for part in (left, right)))
        case [str(name), *parts] if parts:
            return _build(name, tuple(from_plain(part, state, action, depth - 1) for part in parts))
        case _:
            raise ExpressionError(f"expected a node of an expression, got `{plain!r:.60}`; give the text of to_json")


def _fraction(text: str) -> Fraction:
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        value = None
    if value is None or str(value) != text:
        raise ExpressionError(f"expected a reduced fraction, got `{text:.60}`; write it as `7/2`")
    return value


def _choice(expr: Expr) -> ChoiceTerm:
    if isinstance(expr, Read) and expr.field.kind is Kind.CHOICE:
        return ChoiceTerm(expr)
    raise ExpressionError("expected a choice field, got another expression; compare like with like")


_ARITY: Final = {
    "subtract": 2,
    "multiply": 2,
    "floor_divide": 2,
    "modulo": 2,
    "negate": 1,
    "absolute": 1,
    "implies": 2,
    "iff": 2,
    "not": 1,
    "choose": 3,
}


def _build(name: str, parts: tuple[Expr, ...]) -> Expr:
    known = name in _ARITY or name in {*Arithmetic, *Order, *Junction}
    arity = 2 if name in set(Order) else _ARITY.get(name, max(2, len(parts)))
    if not known or len(parts) != arity:
        raise ExpressionError(
            f"expected a known operator with its operands, got `{name:.60}` of {len(parts)}; check the text"
        )
    is_first_truth = name in {"not", "choose", *Junction}
    is_rest_truth = name in {"not", *Junction}
    for place, part in enumerate(parts):
        wants_truth = is_first_truth if place == 0 else is_rest_truth
        if not (is_truth(part) if wants_truth else is_number(part)):
            raise ExpressionError(
                f"expected {'conditions' if wants_truth else 'numbers'} in `{name}`, got another sort; check it"
            )
    if name == "not":
        return Not(parts[0])
    if name == "choose":
        return Choose(*parts)
    if name in set(Order):
        return Compare(Order(name), *parts)
    return Join(Junction(name), parts) if name in set(Junction) else Compute(Arithmetic(name), parts)
