"""Rules from text in the language of `grammar.lark`: the same tree, hash and sentence as rules written in Python.

    rules = parse(Path("junction.rules").read_text(), place="junction.rules")

Every mistake is a `RuleError` that names the place: `junction.rules:7:14: expected ...`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Any, Final, cast

import lark

from symbolic.declaration import DEFAULT_PRIORITY, Declaration, RuleError, RuleKind
from symbolic.domain import Action, State
from symbolic.expression import MOST_DIGITS
from symbolic.rules import RuleSet
from symbolic.writing.conditions import Conditions
from symbolic.writing.place import Place, unquoted
from symbolic.writing.schemas import schema_of

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
    "PAST": "a past-time operator such as `once`",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One rule and where it stands."""

    declared: Declaration
    line: int
    """First line of the rule, from 1."""
    end_line: int


@dataclass(frozen=True, slots=True)
class DeclaredType:
    """One type and where it stands."""

    schema: type[State] | type[Action]
    owner: str
    """`state`, `action` or `neighbour`."""
    line: int
    end_line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A rules file as written, in its own order."""

    state: type[State]
    action: type[Action]
    types: tuple[DeclaredType, ...]
    """The types that the text itself declares."""
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
        _demand_short(tree, Place(place))
        schemas, types, entries = _document(tree, Place(place), state, action)
    except lark.UnexpectedInput as error:
        raise RuleError(_unexpected(error, place)) from None
    except RecursionError:
        raise RuleError(f"{place}: expected conditions of modest depth, got a deeper one; split the rule") from None
    return Document(
        state=schemas["state"],
        action=schemas["action"],
        types=tuple(types),
        entries=tuple(entries),
        comments=tuple(comments),
    )


def _demand_short(tree: lark.Tree[Any], place: Place) -> None:
    """Refuse numbers that no float can hold, wherever they stand."""
    for token in tree.scan_values(lambda one: isinstance(one, lark.Token) and one.type == "NUMBER"):
        if len(token) > MOST_DIGITS:
            place.fail(token, f"expected a number of at most {MOST_DIGITS} digits, got `{token:.20}...`; shorten it")


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


def _document(
    tree: lark.Tree[Any], place: Place, state: type[State] | None, action: type[Action] | None
) -> tuple[dict[str, Any], list[DeclaredType], list[Entry]]:
    """The two types, those that the text itself declares with their lines, and its rules."""
    schemas: dict[str, Any] = {"state": state, "action": action}
    types: list[DeclaredType] = []
    neighbours: dict[str, type[State]] = {}
    for part in tree.children:
        if part.data == "type":
            owner, name = str(part.children[0]), str(part.children[1])
            if schemas.get(owner) is not None:
                place.fail(part, f"expected one {owner} type, got another; the rules have one already")
            if name in neighbours:
                place.fail(part, f"expected a new name for a type, got `{name}`; rename it")
            made: Any = schema_of(part, place, neighbours)
            (neighbours if owner == "neighbour" else schemas)[name if owner == "neighbour" else owner] = made
            types.append(DeclaredType(made, owner, part.meta.line, part.meta.end_line))
    for owner, schema in schemas.items():
        if schema is None:
            raise RuleError(f"{place.name}: expected a type `{owner} NAME {{ ... }}`, got none; declare it first")
    conditions = Conditions(place, schemas)
    entries = [_entry(part, conditions) for part in tree.children if part.data != "type"]
    return schemas, types, entries


def _entry(tree: lark.Tree[Any], conditions: Conditions) -> Entry:
    name, critical, priority, source, unless, overrides, trusts, title, body = tree.children
    rank = DEFAULT_PRIORITY if priority is None else Fraction(str(priority.children[0]))
    if rank != int(rank):
        conditions.place.fail(
            priority, f"expected a whole priority from 0 to 100, got `{priority.children[0]}`; round it"
        )
    declared = Declaration(
        kind=cast(RuleKind, str(tree.data)),
        name=str(name),
        title="" if title is None else unquoted(str(title)),
        priority=int(rank),
        source="" if source is None else unquoted(str(source.children[0])),
        expression=conditions.truth(body),
        unless=_names(unless),
        overrides=_names(overrides),
        trusts=_names(trusts),
        is_critical=critical is not None,
    )
    return Entry(declared=declared, line=tree.meta.line, end_line=tree.meta.end_line)


def _names(tree: lark.Tree[Any] | None) -> tuple[str, ...]:
    return () if tree is None else tuple(sorted({str(name) for name in tree.children}))
