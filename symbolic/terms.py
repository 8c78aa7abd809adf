"""Symbolic values (`NumberTerm`, `TruthTerm`, `ChoiceTerm`): what users write the tree of a rule with.

They only build it by operators; asking one for its truth, hash or length is an error, so that `and`, `or`, `not`,
`if` and chained comparisons cannot be misread in silence.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, NoReturn, TypeAlias, cast, overload

from symbolic.canonical import to_json
from symbolic.domain import Action, State, domain_of
from symbolic.expression import (
    Arithmetic,
    Choose,
    Compare,
    Compute,
    Constant,
    Expr,
    ExpressionError,
    Join,
    Junction,
    Member,
    Not,
    Number,
    Order,
    Owner,
    Read,
    Same,
    demand_digits,
)
from symbolic.field import DomainError, FieldSpec, Kind


def exact(value: object) -> Fraction:
    """The decimal that a Python number was written as, exactly."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Fraction)):
        raise ExpressionError(f"expected a number, got `{value!r}`; compare numbers with numbers")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ExpressionError(f"expected a finite number, got `{value!r}`; write a bound of the field")
        return Fraction(repr(value))
    number = Fraction(value)
    demand_digits(number)
    return number


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
            return TruthTerm(same(self.expr, other.expr))
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


def same(left: Read, right: Read) -> Expr:
    """Two choices with the same word; an `ExpressionError` where they share none."""
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

    __slots__ = ("_domain", "_of", "_owner")

    def __init__(self, schema: type[State] | type[Action], of: str = "") -> None:
        """`of` is the name of the neighbour whose fields they are, inside a quantifier."""
        self._domain = domain_of(schema)
        self._owner = Owner.STATE if issubclass(schema, State) else Owner.ACTION
        self._of = of

    def __getattr__(self, name: str) -> Any:
        """The symbolic value of one field, whose sort is known at run time only, or a collection of neighbours."""
        return self._domain.neighbours.get(name) or self[name]

    def __getitem__(self, name: str) -> Term:
        """The same by text; an undeclared name is an `ExpressionError`."""
        try:
            field = self._domain.field(name)
        except DomainError as error:
            raise ExpressionError(str(error)) from None
        if field.present is not None:
            raise ExpressionError(
                f"expected neighbours to be read by `all_of`, `any_of` or `count_of`, got `{name}`; nobody may be there"
            )
        return term_of(Read(self._owner, field, self._of))


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
