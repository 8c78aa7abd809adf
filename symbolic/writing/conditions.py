"""Conditions and numbers read from text, by the operators that Python rules are written with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NoReturn, cast

import lark

from symbolic.domain import Action, State, domain_of
from symbolic.expression import Choose, Constant, Expr, ExpressionError, Number, Quantifier, Read
from symbolic.field import FieldSpec
from symbolic.quantifiers import bound, known_flag, quantified
from symbolic.remembering.terms import past, remaining
from symbolic.terms import ChoiceTerm, NumberTerm, Term, TruthTerm, fields, implies, maximum, minimum
from symbolic.writing.place import Place, token_of, word_of


@dataclass(frozen=True, slots=True)
class _Value:
    """What a part of an expression stands for."""

    term: Term
    is_literal: bool = False
    """A number as written, that may still be folded with others."""


class Conditions:
    """Reads conditions over the fields of two types."""

    def __init__(self, place: Place, schemas: Mapping[str, type[State] | type[Action]]) -> None:
        """Read for these types, by `state` and `action`."""
        self.place = place
        self.schemas = schemas
        self.scopes = {owner: fields(schema) for owner, schema in schemas.items()}
        self.neighbours = domain_of(schemas["state"]).neighbours

    def fail(self, at: lark.Tree[Any] | lark.Token, message: str) -> NoReturn:
        self.place.fail(at, message)

    def truth(self, tree: lark.Tree[Any]) -> Expr:
        term = self.value(tree).term
        if not isinstance(term, TruthTerm):
            self.fail(tree, f"expected a condition, got a {_sort(term)}; compare it with a value")
        return term.expr

    def number(self, tree: lark.Tree[Any]) -> NumberTerm:
        term = self.value(tree).term
        if not isinstance(term, NumberTerm):
            self.fail(tree, f"expected a number, got a {_sort(term)}; compare like with like")
        return term

    def value(self, tree: lark.Tree[Any]) -> _Value:
        try:
            return self.node(tree)
        except ExpressionError as error:
            self.fail(tree, str(error))

    def node(self, tree: lark.Tree[Any]) -> _Value:
        parts: Sequence[Any] = tree.children
        match tree.data:
            case "literal":
                return _Value(NumberTerm(Number(Fraction(str(parts[0])))), is_literal=True)
            case "always" | "never":
                return _Value(TruthTerm(Constant(tree.data == "always")))
            case "reference":
                return _Value(self.field(parts[0]))
            case "grouped":
                return _Value(self.value(parts[0]).term)
            case "minus":
                inner = self.value(parts[0])
                number = self.number(parts[0])
                if inner.is_literal:
                    return _Value(NumberTerm(Number(-_constant(number))), is_literal=True)
                return _Value(-number)
            case "sum" | "product":
                return self.chain(parts)
            case "call":
                return self.call(str(parts[0]), [self.number(part) for part in parts[1:]], tree)
            case "quantified":
                return _Value(self.quantified(*parts))
            case "known":
                return _Value(TruthTerm(known_flag(cast(Read, self.value(parts[1]).term.expr))))
            case "past":
                return _Value(self.past(str(parts[0]), parts[1:-2], parts[-2], parts[-1], tree))
            case "choose":
                then, condition, otherwise = parts
                chosen = Choose(self.truth(condition), self.number(then).expr, self.number(otherwise).expr)
                return _Value(NumberTerm(chosen))
            case _:
                return _Value(self.condition(tree.data, parts, tree))

    def chain(self, parts: Sequence[Any]) -> _Value:
        """Sums and products group from the left; numbers as written are folded exactly."""
        result = self.value(parts[0])
        left = self.number(parts[0])
        is_literal = result.is_literal
        for operator, part in zip(parts[1::2], parts[2::2], strict=True):
            value = self.value(part)
            right = self.number(part)
            is_literal = is_literal and value.is_literal
            if is_literal:
                left = NumberTerm(Number(self.folded(str(operator), _constant(left), _constant(right), operator)))
            else:
                left = _operated(str(operator), left, right)
        return _Value(left, is_literal)

    def folded(self, operator: str, left: Fraction, right: Fraction, at: lark.Token) -> Fraction:
        if operator in ("/", "//", "%") and right == 0:
            self.fail(at, "expected a divisor other than 0, got 0; correct it")
        match operator:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
            case "/":
                return left / right
            case "//":
                return Fraction(left // right)
            case _:
                return left % right

    def quantified(self, op: lark.Token, name: lark.Token, of: lark.Token, body: lark.Tree[Any]) -> Term:
        over = self.neighbours.get(str(of))
        if over is None:
            some = ", ".join(self.neighbours) or "none"
            self.fail(of, f"expected neighbours among {some}, got `{of}`; declare them with `many`")
        if str(name) in self.scopes:
            self.fail(name, f"expected a new name for one of `{of}`, not `state` or `action`, got `{name}`; rename it")
        self.scopes[str(name)] = bound(over, str(name))
        node = quantified(Quantifier(str(op)), over, str(name), self.truth(body))
        del self.scopes[str(name)]
        return NumberTerm(node) if node.op is Quantifier.COUNT else TruthTerm(node)

    def call(self, function: str, numbers: list[NumberTerm], tree: lark.Tree[Any]) -> _Value:
        if function == "abs":
            if len(numbers) != 1:
                self.fail(tree, f"expected one number in `abs`, got {len(numbers)}; give one")
            return _Value(abs(numbers[0]))
        return _Value((minimum if function == "min" else maximum)(*numbers))

    def past(self, name: str, conditions: Sequence[Any], window: Any, step: Any, tree: lark.Tree[Any]) -> Term:
        """A past-time operator."""
        args = [self.truth(part) for part in conditions]
        within = None if window is None else _span(window.children[0])
        if name != "remaining_s":
            if step is not None:
                self.fail(step, f"expected no step in `{name}`, got one; leave it out")
            return TruthTerm(past(name, args, within))
        if len(args) != 2 or within is None or step is None:
            self.fail(
                tree, "expected `remaining_s(trigger, done within 3 s step 0.5 s)`, got less or more; write it so"
            )
        return NumberTerm(remaining(args[0], args[1], within, _span(step)))

    def condition(self, sort: str, parts: Sequence[Any], tree: lark.Tree[Any]) -> TruthTerm:
        match sort:
            case "compare":
                return _compared(str(parts[1]), self.number(parts[0]), self.number(parts[2]))
            case "equals" | "differs":
                same = self.same(parts[0], parts[1])
                return same if sort == "equals" else ~same
            case "among" | "outside":
                among = self.choice(parts[0]).isin(*(word_of(part) for part in parts[1:]))
                return among if sort == "among" else ~among
            case "negated":
                return ~TruthTerm(self.truth(parts[0]))
            case "implies":
                return implies(TruthTerm(self.truth(parts[0])), TruthTerm(self.truth(parts[1])))
            case "iff":
                return TruthTerm(self.truth(parts[0])) == TruthTerm(self.truth(parts[1]))
            case "conjunction" | "disjunction":
                terms = [TruthTerm(self.truth(part)) for part in parts]
                whole = terms[0]
                for term in terms[1:]:
                    whole = whole & term if sort == "conjunction" else whole | term
                return whole
            case _:
                self.fail(tree, f"expected a condition, got `{sort}`; see the grammar of rules")

    def choice(self, tree: lark.Tree[Any]) -> ChoiceTerm:
        term = self.value(tree).term
        if not isinstance(term, ChoiceTerm):
            self.fail(tree, f"expected a choice field before `is` or `in`, got a {_sort(term)}; compare with `==`")
        return term

    def same(self, left: lark.Tree[Any], right: lark.Tree[Any]) -> TruthTerm:
        """A choice and one of its values, or another choice: a plain name is a value where there is one."""
        choice, token = self.choice(left), token_of(right)
        if token.type == "QUALIFIED" or (token.type == "NAME" and str(token) not in choice.expr.field.words):
            other = self.field(token) if token.type == "QUALIFIED" else self.known(token)
            if isinstance(other, ChoiceTerm):
                return choice == other
        return choice.isin(word_of(right))

    def known(self, token: lark.Token) -> Term | None:
        """The field of a plain name, if there is just one."""
        owners = [owner for owner in self.schemas if str(token) in domain_of(self.schemas[owner]).by_name]
        return self.scopes[owners[0]][str(token)] if len(owners) == 1 else None

    def field(self, token: lark.Token) -> Term:
        if token.type == "QUALIFIED":
            owner, _, name = (part.strip() for part in str(token).partition("."))
            if owner not in self.scopes:
                self.fail(
                    token, f"expected one of {', '.join(self.scopes)} before the dot, got `{owner}`; name it first"
                )
            try:
                return self.scopes[owner][name]
            except ExpressionError as error:
                self.fail(token, str(error))
        found = self.known(token)
        if found is None:
            declared = [one for schema in self.schemas.values() for one in domain_of(schema).declared]
            names = {one.name for one in declared if isinstance(one, FieldSpec)}
            if str(token) in names:
                self.fail(token, f"expected `state.{token}` or `action.{token}`, got `{token}`, which both have")
            self.fail(token, f"expected a field among {', '.join(sorted(names))}, got `{token}`; correct the name")
        return found


def _span(tree: lark.Tree[Any]) -> Fraction:
    return Fraction(str(tree.children[0]))


def _sort(term: Term) -> str:
    return {NumberTerm: "number", TruthTerm: "condition", ChoiceTerm: "choice"}[type(term)]


def _constant(term: NumberTerm) -> Fraction:
    assert isinstance(term.expr, Number)
    return term.expr.value


def _operated(operator: str, left: NumberTerm, right: NumberTerm) -> NumberTerm:
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return left / right
        case "//":
            return left // right
        case _:
            return left % right


def _compared(operator: str, left: NumberTerm, right: NumberTerm) -> TruthTerm:
    match operator:
        case "<":
            return left < right
        case "<=":
            return left <= right
        case ">":
            return left > right
        case ">=":
            return left >= right
        case "==":
            return left == right
        case _:
            return left != right
