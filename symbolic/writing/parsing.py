"""Rules from text in the language of `grammar.lark`: the same tree, hash and sentence as rules written in Python.

    rules = parse(Path("junction.rules").read_text(), place="junction.rules")

Every mistake is a `RuleError` that names the place: `junction.rules:7:14: expected ...`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal, NoReturn, cast

import lark
from pydantic import Field, create_model

from symbolic.declaration import DEFAULT_PRIORITY, Declaration, RuleError, RuleKind
from symbolic.domain import Action, DomainError, State, domain_of
from symbolic.expression import Choose, Constant, Expr, ExpressionError, Number
from symbolic.rules import RuleSet
from symbolic.terms import ChoiceTerm, Fields, NumberTerm, Term, TruthTerm, fields, implies, maximum, minimum

MAX_TEXT: Final = 1_000_000
"""A longer text is refused before it is read."""

_EXPECTED: Final = {
    "NAME": "a name",
    "NUMBER": "a number",
    "TEXT": "a text in quotes",
    "ORDER": "a comparison",
    "$END": "the end",
    "QUALIFIED": "`state.NAME`",
    "FUNCTION": "`min`, `max` or `abs`",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One rule and where it stands."""

    declared: Declaration
    line: int
    """First line of the rule, from 1."""
    end_line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A rules file as written, in its own order."""

    state: type[State]
    action: type[Action]
    types: tuple[tuple[type[State] | type[Action], int, int], ...]
    """The types that the text itself declares, with their first and last lines."""
    entries: tuple[Entry, ...]
    comments: tuple[tuple[int, str], ...]
    """Line and text of every comment."""


def parse(
    text: str, *, state: type[State] | None = None, action: type[Action] | None = None, place: str = "rules"
) -> RuleSet[Any, Any]:
    """The rule set that a text describes.

    Args:
        text: a rules file.
        state: the type that the rules speak of, where the text declares none.
        action: likewise.
        place: what errors call the text, such as the name of its file.

    Raises:
        RuleError: with line and column.
    """
    document = read(text, state=state, action=action, place=place)
    rules: RuleSet[Any, Any] = RuleSet(document.state, document.action)
    for entry in document.entries:
        try:
            rules.declare(entry.declared)
        except RuleError as error:
            raise RuleError(f"{place}:{entry.line}: {error}") from None
    try:
        _ = rules.rules
    except RuleError as error:
        raise RuleError(f"{place}: {error}") from None
    return rules


def read(
    text: str, *, state: type[State] | None = None, action: type[Action] | None = None, place: str = "rules"
) -> Document:
    """A text as a document; arguments and errors as `parse`."""
    if len(text) > MAX_TEXT:
        raise RuleError(f"{place}: expected at most {MAX_TEXT} characters, got {len(text)}; split the file")
    comments: list[tuple[int, str]] = []
    try:
        tree = _parser().parse(text)
        comments = [(token.line or 0, str(token)) for token in _comments(text)]
    except lark.UnexpectedInput as error:
        raise RuleError(_unexpected(error, place)) from None
    except RecursionError:
        raise RuleError(f"{place}: expected conditions of modest depth, got a deeper one; split the rule") from None
    reader = _Reader(place, state, action)
    return reader.document(tree, tuple(comments))


@cache
def _parser() -> lark.Lark:
    grammar = files("symbolic.writing").joinpath("grammar.lark").read_text()
    return lark.Lark(grammar, parser="lalr", propagate_positions=True, maybe_placeholders=True)


@cache
def _lexer() -> lark.Lark:
    """Finds comments: everything that is none, or a text in quotes, in one token."""
    grammar = r"""
        start: (COMMENT | TEXT | OTHER)*
        COMMENT: /#[^\n]*/
        TEXT: /"([^"\\\n]|\\["\\])*"/
        OTHER: /[^#"]+/
    """
    return lark.Lark(grammar, parser="lalr")


def _comments(text: str) -> list[lark.Token]:
    return [token for token in _lexer().lex(text) if token.type == "COMMENT"]


def _unexpected(error: lark.UnexpectedInput, place: str) -> str:
    if isinstance(error, lark.UnexpectedCharacters):
        return f"{place}:{error.line}:{error.column}: expected a rule, got `{error.char}`; remove or quote it"
    token = cast(lark.UnexpectedToken, error).token
    wanted = {_EXPECTED.get(name, _shown(name)) for name in error.accepts or error.expected}  # type: ignore[attr-defined]
    got = "the end of the text" if token.type == "$END" else f"`{token}`"
    some = sorted(wanted)[:8]
    return f"{place}:{token.line}:{token.column}: expected {' or '.join(some)}, got {got}; see the grammar of rules"


def _shown(terminal: str) -> str:
    """A terminal as it is written."""
    for known in _parser().terminals:
        if known.name == terminal and known.pattern.type == "str":
            return f"`{known.pattern.value}`"
    return f"`{terminal.lower()}`"


@dataclass(frozen=True, slots=True)
class _Value:
    """What a part of an expression stands for."""

    term: Term
    is_literal: bool = False
    """A number as written, that may still be folded with others."""


class _Reader:
    """Turns a parse tree into values, and knows where it is."""

    def __init__(self, place: str, state: type[State] | None, action: type[Action] | None) -> None:
        self.place = place
        self.schemas: dict[str, Any] = {"state": state, "action": action}
        self.scopes: dict[str, Fields] = {}

    def fail(self, at: lark.Tree[Any] | lark.Token, message: str) -> NoReturn:
        where = at if isinstance(at, lark.Token) else at.meta
        raise RuleError(f"{self.place}:{where.line}:{where.column}: {message}")

    # Files

    def document(self, tree: lark.Tree[Any], comments: tuple[tuple[int, str], ...]) -> Document:
        types = []
        for part in tree.children:
            if part.data == "type":
                owner = str(part.children[0])
                if self.schemas[owner] is not None:
                    self.fail(part, f"expected one {owner} type, got another; the rules have one already")
                self.schemas[owner] = self.schema(part)
                types.append((self.schemas[owner], part.meta.line, part.meta.end_line))
        for owner, schema in self.schemas.items():
            if schema is None:
                raise RuleError(f"{self.place}: expected a type `{owner} NAME {{ ... }}`, got none; declare it first")
            self.scopes[owner] = fields(schema)
        entries = [self.entry(part) for part in tree.children if part.data != "type"]
        return Document(
            state=self.schemas["state"],
            action=self.schemas["action"],
            types=tuple(types),
            entries=tuple(entries),
            comments=comments,
        )

    def schema(self, tree: lark.Tree[Any]) -> type[State] | type[Action]:
        owner, name, *parts = tree.children
        declared: dict[str, Any] = {}
        for part in parts:
            named, sort = str(part.children[0]), cast("lark.Tree[Any]", part.children[1])
            if named in declared or named.startswith(("_", "model_")) or hasattr(State, named):
                self.fail(part, f"expected a new name, and none that the type has itself, got `{named}`; rename it")
            declared[named] = self.sort(sort)
        try:
            made: Any = create_model(
                str(name), __base__=State if owner == "state" else Action, __module__=__name__, **declared
            )
        except (DomainError, NameError) as error:
            self.fail(tree, " ".join(str(error).split()))
        return cast("type[State] | type[Action]", made)

    def sort(self, tree: lark.Tree[Any]) -> tuple[Any, Any]:
        match tree.data:
            case "flag":
                return bool, ...
            case "choice":
                return Literal[tuple(self.word(part) for part in tree.children)], ...
            case "whole":
                low, high = (self.signed(part) for part in tree.children)
                if low.denominator != 1 or high.denominator != 1:
                    self.fail(tree, "expected whole bounds, got decimals; declare a `number` with a step")
                return int, Field(ge=int(low), le=int(high), json_schema_extra={"step": 1})
            case _:
                bounds = [float(self.signed(part)) for part in tree.children]
                return float, Field(ge=bounds[0], le=bounds[1], json_schema_extra={"step": bounds[2]})

    def signed(self, tree: lark.Tree[Any]) -> Fraction:
        minus, number = tree.children
        return -Fraction(str(number)) if minus else Fraction(str(number))

    def entry(self, tree: lark.Tree[Any]) -> Entry:
        name, critical, priority, source, unless, overrides, title, body = tree.children
        rank = DEFAULT_PRIORITY if priority is None else Fraction(str(priority.children[0]))
        if rank != int(rank):
            self.fail(priority, f"expected a whole priority from 0 to 100, got `{priority.children[0]}`; round it")
        declared = Declaration(
            kind=cast(RuleKind, str(tree.data)),
            name=str(name),
            title="" if title is None else unquoted(str(title)),
            priority=int(rank),
            source="" if source is None else unquoted(str(source.children[0])),
            expression=self.truth(body),
            unless=_names(unless),
            overrides=_names(overrides),
            is_critical=critical is not None,
        )
        return Entry(declared=declared, line=tree.meta.line, end_line=tree.meta.end_line)

    # Expressions

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

    def call(self, function: str, numbers: list[NumberTerm], tree: lark.Tree[Any]) -> _Value:
        if function == "abs":
            if len(numbers) != 1:
                self.fail(tree, f"expected one number in `abs`, got {len(numbers)}; give one")
            return _Value(abs(numbers[0]))
        return _Value((minimum if function == "min" else maximum)(*numbers))

    def condition(self, sort: str, parts: Sequence[Any], tree: lark.Tree[Any]) -> TruthTerm:
        match sort:
            case "compare":
                return _compared(str(parts[1]), self.number(parts[0]), self.number(parts[2]))
            case "equals" | "differs":
                same = self.same(parts[0], parts[1])
                return same if sort == "equals" else ~same
            case "among" | "outside":
                among = self.choice(parts[0]).isin(*(self.word(part) for part in parts[1:]))
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
        choice, token = self.choice(left), _token(right)
        if token.type == "QUALIFIED" or (token.type == "NAME" and str(token) not in choice.expr.field.words):
            other = self.field(token) if token.type == "QUALIFIED" else self.known(token)
            if isinstance(other, ChoiceTerm):
                return choice == other
        return choice.isin(self.word(right))

    def word(self, tree: lark.Tree[Any]) -> str:
        return _word(_token(tree))

    def known(self, token: lark.Token) -> Term | None:
        """The field of a plain name, if there is just one."""
        owners = [owner for owner in self.scopes if str(token) in domain_of(self.schemas[owner]).by_name]
        return self.scopes[owners[0]][str(token)] if len(owners) == 1 else None

    def field(self, token: lark.Token) -> Term:
        if token.type == "QUALIFIED":
            owner, _, name = (part.strip() for part in str(token).partition("."))
            try:
                return self.scopes[owner][name]
            except ExpressionError as error:
                self.fail(token, str(error))
        found = self.known(token)
        if found is None:
            names = {name for schema in self.schemas.values() for name in domain_of(schema).by_name}
            if str(token) in names:
                self.fail(token, f"expected `state.{token}` or `action.{token}`, got `{token}`, which both have")
            self.fail(token, f"expected a field among {', '.join(sorted(names))}, got `{token}`; correct the name")
        return found


def _names(tree: lark.Tree[Any] | None) -> tuple[str, ...]:
    return () if tree is None else tuple(sorted({str(name) for name in tree.children}))


def _token(tree: lark.Tree[Any]) -> lark.Token:
    return cast(lark.Token, tree.children[0])


def _word(token: lark.Token) -> str:
    return unquoted(token) if token.type == "TEXT" else str(token)


def unquoted(token: str) -> str:
    """The text between quotes."""
    return token[1:-1].replace('\\"', '"').replace("\\\\", "\\")


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
