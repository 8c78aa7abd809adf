"""A question as SMT-LIB 2, for a second solver: written from our tree, with nothing of the solver that we use.

Fields are their integer codes, numbers are brought over common denominators, floor division and modulo have Python's
meaning. All that is assumed stands in the script: ranges, conditions (named, for unsat cores) and the expected answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal

from symbolic.expression import (
    DIVISIONS,
    Arithmetic,
    Choose,
    Compare,
    Compute,
    Constant,
    Expr,
    Join,
    Junction,
    Member,
    Not,
    Number,
    Order,
    Read,
    Same,
    is_nonlinear,
    walk,
)
from symbolic.field import Kind
from symbolic.solving.question import Question

Status = Literal["sat", "unsat", "unknown"]

DEFINITIONS: Final = (
    "(define-fun floor_divide ((x Int) (d Int)) Int (ite (> d 0) (div x d) (div (- x) (- d))))",
    "(define-fun modulo ((x Int) (d Int)) Int (- x (* d (floor_divide x d))))",
)
"""Floor of a quotient, and the rest with the sign of the divisor. The theory's `div` is the floor where d > 0."""

HELPERS: Final = (
    "(define-fun minimum ((x Int) (y Int)) Int (ite (< y x) y x))",
    "(define-fun maximum ((x Int) (y Int)) Int (ite (> y x) y x))",
    "(define-fun absolute ((x Int)) Int (ite (< x 0) (- x) x))",
)


def script(question: Question, *, title: str, labels: Sequence[str] = (), status: Status = "unknown") -> str:
    """The question as a script that ends in `(check-sat)`.

    Args:
        question: what is asked.
        title: one line for the reader.
        labels: a name for each condition, of letters, digits and `_`; `c1`, `c2`, ... where none are given.
        status: the expected answer: `sat` where there is a point.
    """
    names = labels or [f"c{place}" for place in range(1, len(question.conditions) + 1)]
    divides = any(
        isinstance(node, Compute) and node.op in DIVISIONS for one in question.conditions for node in walk(one)
    )
    logic = "QF_NIA" if divides or any(map(is_nonlinear, question.conditions)) else "QF_LIA"
    lines = [
        "(set-info :smt-lib-version 2.6)",
        f"; {title}",
        f"(set-logic {logic})",
        f"(set-info :status {status})",
        *(DEFINITIONS if divides else ()),
        *HELPERS,
        *(line for read in question.fields for line in _declared(question, read)),
    ]
    for name, condition in zip(names, question.conditions, strict=True):
        lines.append(f"(assert (! {truth(condition)} :named {name}))")
    return "\n".join([*lines, "(check-sat)", "(exit)"]) + "\n"


def _declared(question: Question, read: Read) -> list[str]:
    """A field as a variable with its range, and what its codes mean."""
    low, high = question.span(read)
    field, name = read.field, variable(read)
    if field.kind is Kind.CHOICE:
        meaning = ", ".join(f"{code} is {word}" for code, word in enumerate(field.words))
    else:
        meaning = "1 is true" if field.kind is Kind.FLAG else f"in steps of {field.step}"
    return [
        f"(declare-const {name} Int) ; {meaning}",
        f"(assert (! (<= {_integer(low)} {name} {_integer(high)}) :named range_{read.owner.value}_{field.name}))",
    ]


def variable(read: Read) -> str:
    """The symbol of a field's code."""
    return f"|{read.owner.value}.{read.field.name}|"


def truth(expr: Expr) -> str:
    """A condition."""
    match expr:
        case Constant():
            return "true" if expr.value else "false"
        case Read():
            return f"(= {variable(expr)} 1)"
        case Member():
            return _many("or", [f"(= {variable(expr.read)} {code})" for code in expr.codes])
        case Same():
            words = expr.right.field.words
            pairs = [(code, words.index(word)) for code, word in enumerate(expr.left.field.words) if word in words]
            left, right = variable(expr.left), variable(expr.right)
            return _many("or", [f"(and (= {left} {one}) (= {right} {other}))" for one, other in pairs])
        case Compare():
            left, right = _aligned([number(expr.left), number(expr.right)])[0]
            if expr.op is Order.NE:
                return f"(not (= {left} {right}))"
            return f"({'=' if expr.op is Order.EQ else expr.op.value} {left} {right})"
        case Not():
            return f"(not {truth(expr.arg)})"
        case Join():
            return _many(_CONNECTIVES[expr.op], [truth(arg) for arg in expr.args])
        case _:
            raise TypeError(f"expected a condition, got {type(expr).__name__}; compare it with a value")


_CONNECTIVES: Final = {Junction.AND: "and", Junction.OR: "or", Junction.IMPLIES: "=>", Junction.IFF: "="}


def number(expr: Expr) -> tuple[str, int]:
    """A number as an integer term and the denominator that it is to be divided by."""
    match expr:
        case Number():
            return _integer(expr.value.numerator), expr.value.denominator
        case Read():
            return _times(variable(expr), expr.field.numerator), expr.field.denominator
        case Choose():
            (then, otherwise), common = _aligned([number(expr.then), number(expr.otherwise)])
            return f"(ite {truth(expr.condition)} {then} {otherwise})", common
        case Compute():
            return _computed(expr.op, [number(arg) for arg in expr.args])
        case _:
            raise TypeError(f"expected a number, got {type(expr).__name__}; compare numbers with numbers")


def _computed(op: Arithmetic, parts: list[tuple[str, int]]) -> tuple[str, int]:
    if op is Arithmetic.MULTIPLY:
        return f"(* {parts[0][0]} {parts[1][0]})", parts[0][1] * parts[1][1]
    terms, common = _aligned(parts)
    match op:
        case Arithmetic.FLOOR_DIVIDE:
            return f"(floor_divide {terms[0]} {terms[1]})", 1
        case Arithmetic.MODULO:
            return f"(modulo {terms[0]} {terms[1]})", common
        case Arithmetic.MINIMUM | Arithmetic.MAXIMUM:
            best = terms[0]
            for term in terms[1:]:
                best = f"({op.value} {best} {term})"
            return best, common
        case Arithmetic.ABSOLUTE:
            return f"(absolute {terms[0]})", common
        case Arithmetic.ADD:
            return f"(+ {' '.join(terms)})", common
        case _:
            return f"(- {' '.join(terms)})", common


def _aligned(parts: list[tuple[str, int]]) -> tuple[list[str], int]:
    """Terms over their common denominator."""
    common = math.lcm(*(denominator for _, denominator in parts))
    return [_times(term, common // denominator) for term, denominator in parts], common


def _times(term: str, factor: int) -> str:
    return term if factor == 1 else f"(* {factor} {term})"


def _integer(value: int) -> str:
    return str(value) if value >= 0 else f"(- {-value})"


def _many(connective: str, parts: Sequence[str]) -> str:
    if not parts:
        return "false"  # of `or` alone: two choices without a word in common
    return parts[0] if len(parts) == 1 else f"({connective} {' '.join(parts)})"
