"""The synthetic rules in the languages of other engines: Cedar, Rego, plain Z3 and a list of Python functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from symbolic import RuleSet, Truth
from symbolic.expression import (
    Arithmetic,
    Compare,
    Compute,
    Expr,
    Join,
    Junction,
    Not,
    Number,
    Order,
    Read,
)
from symbolic.reading.reference import Walk

OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}


SIGNS = {Arithmetic.ADD: " + ", Arithmetic.SUBTRACT: " - ", Arithmetic.MULTIPLY: " * "}


class NoWordError(TypeError):
    """An expression that these translations have no word for."""


def cedar(rules: RuleSet[Any, Any]) -> str:
    """One `forbid` policy for each rule, in order, after a `permit` for everything."""
    forbids = [f"forbid(principal, action, resource) when {{ {_cedar(rule.violation)} }};" for rule in rules.rules]
    return "\n".join(["permit(principal, action, resource);", *forbids])


def _cedar(expr: Expr) -> str:
    match expr:
        case Number():
            return str(expr.value)
        case Read():
            return f"context.{expr.owner.value}_{expr.field.name}"
        case Compare():
            return f"({_cedar(expr.left)} {expr.op.value} {_cedar(expr.right)})"
        case Compute(op=Arithmetic.ABSOLUTE):
            inner = _cedar(expr.args[0])
            return f"(if {inner} < 0 then -({inner}) else {inner})"
        case Compute(op=Arithmetic.ADD | Arithmetic.SUBTRACT | Arithmetic.MULTIPLY):
            return f"({SIGNS[expr.op].join(map(_cedar, expr.args))})"
        case Not():
            return f"!{_cedar(expr.arg)}"
        case Join(op=Junction.IMPLIES):
            return f"(!{_cedar(expr.args[0])} || {_cedar(expr.args[1])})"
        case Join(op=Junction.AND | Junction.OR):
            return f"({(' && ' if expr.op is Junction.AND else ' || ').join(map(_cedar, expr.args))})"
        case _:
            raise NoWordError(f"expected linear rules for Cedar, got {type(expr).__name__}")


def rego(rules: RuleSet[Any, Any]) -> str:
    """A module whose `violated` is the set of places of violated rules."""
    bodies = [f"violated contains {place} if {{ {_rego(rule.violation)} }}" for place, rule in enumerate(rules.rules)]
    return "\n".join(["package rules", *bodies])


def _rego(expr: Expr) -> str:
    """Conjuncts as Rego joins them."""
    match expr:
        case Join(op=Junction.AND):
            return "; ".join(map(_rego, expr.args))
        case Not(arg=Join(op=Junction.IMPLIES) as inner):
            return f"{_rego(inner.args[0])}; {_rego(Not(inner.args[1]))}"
        case Not(arg=Compare() as inner):
            return f"{_rego_number(inner.left)} {OPPOSITE[inner.op.value]} {_rego_number(inner.right)}"
        case Compare():
            return f"{_rego_number(expr.left)} {expr.op.value} {_rego_number(expr.right)}"
        case Read():
            return _rego_number(expr)
        case _:
            raise NoWordError(f"expected conjunctions for Rego, got {type(expr).__name__}")


def _rego_number(expr: Expr) -> str:
    match expr:
        case Number():
            return str(expr.value)
        case Read():
            return f"input.{expr.owner.value}_{expr.field.name}"
        case Compute(op=Arithmetic.ABSOLUTE):
            return f"abs({_rego_number(expr.args[0])})"
        case Compute(op=Arithmetic.ADD | Arithmetic.SUBTRACT | Arithmetic.MULTIPLY):
            return f"({SIGNS[expr.op].join(map(_rego_number, expr.args))})"
        case _:
            raise NoWordError(f"expected linear numbers for Rego, got {type(expr).__name__}")


def facts_of(state: Any, action: Any) -> dict[str, object]:
    """What the other engines are told: one flat record."""
    return {
        **{f"state_{name}": value for name, value in state.model_dump().items()},
        **{f"action_{name}": value for name, value in action.model_dump().items()},
    }


def closures(rules: RuleSet[Any, Any]) -> list[Callable[[Any, Any], bool]]:
    """One Python function of the values for each rule, as one would write them by hand."""
    return [_closure(rule.violation) for rule in rules.rules]


def _closure(expr: Expr) -> Callable[[Any, Any], Any]:
    source = _python(expr)
    function: Callable[[Any, Any], Any] = eval(f"lambda s, a: {source}")
    return function


def _python(expr: Expr) -> str:
    match expr:
        case Number():
            return str(expr.value)
        case Read():
            return f"{expr.owner.value[0]}.{expr.field.name}"
        case Compare():
            return f"({_python(expr.left)} {expr.op.value} {_python(expr.right)})"
        case Compute(op=Arithmetic.ABSOLUTE):
            return f"abs({_python(expr.args[0])})"
        case Compute(op=Arithmetic.ADD | Arithmetic.SUBTRACT | Arithmetic.MULTIPLY):
            return f"({SIGNS[expr.op].join(map(_python, expr.args))})"
        case Not():
            return f"(not {_python(expr.arg)})"
        case Join(op=Junction.IMPLIES):
            return f"(not {_python(expr.args[0])} or {_python(expr.args[1])})"
        case Join(op=Junction.AND | Junction.OR):
            return f"({f' {expr.op.value} '.join(map(_python, expr.args))})"
        case _:
            raise NoWordError(f"expected linear rules, got {type(expr).__name__}")


def terms(z3: Any, rules: RuleSet[Any, Any]) -> tuple[dict[str, Any], list[Any]]:
    """Z3 variables by name, and one term for each rule's violation."""
    names = {f"{read.owner.value}_{read.field.name}": read for rule in rules.rules for read in rule.reads}
    values = {name: z3.Bool(name) if read.field.kind.value == "flag" else z3.Int(name) for name, read in names.items()}
    return values, [_term(z3, rule.violation, values) for rule in rules.rules]


def _term(z3: Any, expr: Expr, values: dict[str, Any]) -> Any:
    def part(one: Expr) -> Any:
        return _term(z3, one, values)

    match expr:
        case Number():
            return z3.IntVal(int(expr.value))
        case Read():
            return values[f"{expr.owner.value}_{expr.field.name}"]
        case Compare():
            left, right = part(expr.left), part(expr.right)
            return {
                Order.LT: left < right, Order.LE: left <= right, Order.GT: left > right,
                Order.GE: left >= right, Order.EQ: left == right, Order.NE: left != right,
            }[expr.op]  # fmt: skip
        case Compute(op=Arithmetic.ABSOLUTE):
            inner = part(expr.args[0])
            return z3.If(inner < 0, -inner, inner)
        case Compute():
            first, *rest = map(part, expr.args)
            for other in rest:
                first = {Arithmetic.ADD: first + other, Arithmetic.SUBTRACT: first - other,
                         Arithmetic.MULTIPLY: first * other}[expr.op]  # fmt: skip
            return first
        case Not():
            return z3.Not(part(expr.arg))
        case Join(op=Junction.IMPLIES):
            return z3.Implies(part(expr.args[0]), part(expr.args[1]))
        case Join():
            return (z3.And if expr.op is Junction.AND else z3.Or)(*map(part, expr.args))
        case _:
            raise NoWordError(f"expected linear rules, got {type(expr).__name__}")


def walked(rules: RuleSet[Any, Any], facts: Any, action: Sequence[int]) -> list[int]:
    """The executable specification, for comparison."""
    walk = Walk(facts, tuple(action))
    return [place for place, rule in enumerate(rules.rules) if walk.truth(rule.violation) is Truth.YES]
