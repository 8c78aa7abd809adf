"""Expressions as terms of the solver, over integer codes; the module of the solver is given, never imported here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from symbolic.expression import (
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
    Owner,
    Read,
    Same,
)


class Translation:
    """Expression to Z3 terms over integer codes, scaled to common denominators."""

    def __init__(self, z3: Any, context: Any, state: Sequence[Any], action: Sequence[Any]) -> None:
        self.z3, self.context, self.state, self.action = z3, context, state, action

    def truth(self, expr: Expr) -> Any:
        """A condition."""
        match expr:
            case Constant():
                return self.z3.BoolVal(expr.value, self.context)
            case Read():
                return self.variable(expr) == 1
            case Member():
                return self.z3.Or([self.variable(expr.read) == code for code in expr.codes])
            case Same():
                words = expr.right.field.words
                pairs = [(code, words.index(word)) for code, word in enumerate(expr.left.field.words) if word in words]
                left, right = self.variable(expr.left), self.variable(expr.right)
                return self.z3.Or([self.z3.And(left == one, right == other) for one, other in pairs])
            case Compare():
                return self.compare(expr)
            case Not():
                return self.z3.Not(self.truth(expr.arg))
            case Join():
                return self.join(expr.op, [self.truth(arg) for arg in expr.args])
            case _:
                raise TypeError(f"expected a condition, got {type(expr).__name__}; compare it with a value")

    def join(self, op: Junction, parts: list[Any]) -> Any:
        """A connective."""
        match op:
            case Junction.AND:
                return self.z3.And(parts)
            case Junction.OR:
                return self.z3.Or(parts)
            case Junction.IMPLIES:
                return self.z3.Implies(parts[0], parts[1])
            case Junction.IFF:
                return parts[0] == parts[1]

    def compare(self, expr: Compare) -> Any:
        """A comparison, both sides as integers over one denominator."""
        left, right = self.align([self.number(expr.left), self.number(expr.right)])[0]
        match expr.op:
            case Order.LT:
                return left < right
            case Order.LE:
                return left <= right
            case Order.GT:
                return left > right
            case Order.GE:
                return left >= right
            case Order.EQ:
                return left == right
            case Order.NE:
                return left != right

    def number(self, expr: Expr) -> tuple[Any, int]:
        """A number as an integer term and the denominator that it is to be divided by."""
        match expr:
            case Number():
                return self.z3.IntVal(expr.value.numerator, self.context), expr.value.denominator
            case Read():
                return self.variable(expr) * expr.field.numerator, expr.field.denominator
            case Choose():
                (then, otherwise), common = self.align([self.number(expr.then), self.number(expr.otherwise)])
                return self.z3.If(self.truth(expr.condition), then, otherwise), common
            case Compute():
                return self.compute(expr.op, [self.number(arg) for arg in expr.args])
            case _:
                raise TypeError(f"expected a number, got {type(expr).__name__}; compare numbers with numbers")

    def compute(self, op: Arithmetic, parts: list[tuple[Any, int]]) -> tuple[Any, int]:
        """An operation on scaled integers."""
        if op is Arithmetic.MULTIPLY:
            return parts[0][0] * parts[1][0], parts[0][1] * parts[1][1]
        terms, common = self.align(parts)
        match op:
            case Arithmetic.FLOOR_DIVIDE:
                return self.floor(*terms), 1
            case Arithmetic.MODULO:
                return terms[0] - terms[1] * self.floor(*terms), common
            case Arithmetic.ADD:
                return self.z3.Sum(terms), common
            case Arithmetic.SUBTRACT:
                return terms[0] - terms[1], common
            case Arithmetic.NEGATE:
                return -terms[0], common
            case Arithmetic.ABSOLUTE:
                return self.z3.If(terms[0] < 0, -terms[0], terms[0]), common
            case Arithmetic.MINIMUM | Arithmetic.MAXIMUM:
                best = terms[0]
                for term in terms[1:]:
                    is_better = term < best if op is Arithmetic.MINIMUM else term > best
                    best = self.z3.If(is_better, term, best)
                return best, common

    def floor(self, term: Any, divisor: Any) -> Any:
        """Floor of an integer quotient. The solver's own rounds down only where the divisor is positive."""
        return self.z3.If(divisor > 0, term / divisor, (-term) / (-divisor))

    def align(self, parts: list[tuple[Any, int]]) -> tuple[list[Any], int]:
        """Terms over their common denominator."""
        common = math.lcm(*(denominator for _, denominator in parts))
        return [term * (common // denominator) for term, denominator in parts], common

    def variable(self, read: Read) -> Any:
        """The variable of a field's code."""
        return (self.state if read.owner is Owner.STATE else self.action)[read.field.index]
