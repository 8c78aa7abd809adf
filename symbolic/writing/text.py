"""The reading as text: expressions and whole rule sets in the language of `grammar.lark`, in one canonical layout."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Final, cast

from symbolic.claiming.claim import Claimed
from symbolic.declaration import DEFAULT_PRIORITY, Declaration
from symbolic.domain import Action, Domain, State, domain_of
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
    Past,
    Quantified,
    Read,
    Remaining,
    Same,
    Tense,
)
from symbolic.field import FieldSpec, Kind, shortest
from symbolic.neighbours import Neighbours

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

WIDTH: Final = 100
"""Columns after which a condition is broken at its outermost connective."""

KEYWORDS: Final = frozenset(
    {
        "state",
        "action",
        "number",
        "whole",
        "flag",
        "to",
        "step",
        "forbid",
        "require",
        "permit",
        "critical",
        "priority",
        "source",
        "unless",
        "overrides",
        "trusts",
        "when",
        "that",
        "neighbour",
        "many",
        "optional",
    }
    | {"if", "then", "else", "iff", "or", "and", "not", "is", "in", "always", "never", "min", "max", "abs"}
)
"""Words of the language: as a name they are qualified, as a value quoted."""

PLAIN: Final = re.compile(r"[^\W\d]\w*")
"""A name, as in the grammar: Python's own names may have signs that are none here."""

Name = Callable[[Read], str]

_IF, _IFF, _OR, _AND, _NOT, _COMPARISON, _SUM, _PRODUCT, _UNARY, _PRIMARY = range(10)
"""How tightly the parts of a text bind."""

_INFIX: Final = {
    Arithmetic.ADD: (" + ", _SUM),
    Arithmetic.SUBTRACT: (" - ", _SUM),
    Arithmetic.MULTIPLY: (" * ", _PRODUCT),
    Arithmetic.FLOOR_DIVIDE: (" // ", _PRODUCT),
    Arithmetic.MODULO: (" % ", _PRODUCT),
}
_CALL: Final = {Arithmetic.MINIMUM: "min", Arithmetic.MAXIMUM: "max", Arithmetic.ABSOLUTE: "abs"}
_JOIN: Final = {
    Junction.AND: (" and ", _AND),
    Junction.OR: (" or ", _OR),
    Junction.IFF: (" iff ", _IFF),
}


def namer(state: Domain, action: Domain) -> Name:
    """Names of fields: plain where that is clear, else `state.NAME` or `action.NAME`."""
    shared = set(state.by_name) & set(action.by_name) | KEYWORDS

    def name(read: Read) -> str:
        own = read.field.known_of or read.field.name
        owner = read.of or (read.owner.value if own in shared else "")
        text = f"{owner}.{own}" if owner else own
        return f"known({text})" if read.field.known_of else text

    return name


def quoted(text: str) -> str:
    """A text in double quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def expression_text(expr: Expr, name: Name) -> str:
    """Text of an expression, on one line. Parsing it gives the same tree if operators built that tree."""
    return _text(expr, name, _IF)


def _text(expr: Expr, name: Name, binding: int) -> str:
    text, own = _bare(expr, name)
    return f"({text})" if own < binding else text


def _bare(expr: Expr, name: Name) -> tuple[str, int]:
    """The text of a node, and how tightly it binds."""
    match expr:
        case Constant():
            return "always" if expr.value else "never", _PRIMARY
        case Number():
            return _number(expr.value)
        case Read():
            return name(expr), _PRIMARY
        case Member():
            return _member(expr, name, " is ", " in "), _COMPARISON
        case Same():
            return f"{name(expr.left)} is {_other(expr.right)}", _COMPARISON
        case Compare():
            left, right = _text(expr.left, name, _SUM), _text(expr.right, name, _SUM)
            return f"{left} {expr.op.value} {right}", _COMPARISON
        case Not(Member() as member):
            return _member(member, name, " is not ", " not in "), _COMPARISON
        case Not(Same(left, right)):
            return f"{name(left)} is not {_other(right)}", _COMPARISON
        case Not():
            return f"not {_text(expr.arg, name, _NOT)}", _NOT
        case Choose():
            parts = [_text(part, name, _OR) for part in (expr.then, expr.condition, expr.otherwise)]
            return f"{parts[0]} if {parts[1]} else {parts[2]}", _IF
        case Join():
            return _join(expr, name)
        case Compute():
            return _compute(expr, name)
        case Quantified():
            return f"{expr.op.value}({expr.name} in {expr.over.name}: {_text(expr.body, name, _IF)})", _PRIMARY
        case Past():
            window = "" if expr.window_s is None else f" {'for' if expr.op is Tense.HELD_FOR else 'within'} "
            span = "" if expr.window_s is None else f"{shortest(expr.window_s)} s"
            return f"{expr.op.value}({', '.join(_text(arg, name, _IF) for arg in expr.args)}{window}{span})", _PRIMARY
        case Remaining():
            both = f"{_text(expr.trigger, name, _IF)}, {_text(expr.done, name, _IF)}"
            return f"remaining_s({both} within {shortest(expr.window_s)} s step {shortest(expr.step_s)} s)", _PRIMARY


def _number(value: Fraction) -> tuple[str, int]:
    text = shortest(abs(value))
    if "/" in text:
        return f"(-{text})" if value < 0 else f"({text})", _PRIMARY
    return (f"-{text}", _UNARY) if value < 0 else (text, _PRIMARY)


def _member(expr: Member, name: Name, single: str, many: str) -> str:
    words = [word_text(expr.read.field.words[code]) for code in expr.codes]
    return name(expr.read) + (single + words[0] if len(words) == 1 else f"{many}({', '.join(words)})")


def _other(read: Read) -> str:
    """The right side of `is` where it is a field: always qualified, so that it cannot be taken for a value."""
    return f"{read.of or read.owner.value}.{read.field.name}"


def word_text(word: str) -> str:
    """A value of a choice: plain where it is a name of its own, else quoted."""
    return word if PLAIN.fullmatch(word) and word not in KEYWORDS else quoted(word)


def _join(expr: Join, name: Name) -> tuple[str, int]:
    if expr.op is Junction.IMPLIES:
        return f"if {_text(expr.args[0], name, _IFF)} then {_text(expr.args[1], name, _IFF)}", _IF
    infix, own = _JOIN[expr.op]
    return infix.join(_text(arg, name, own + 1) for arg in expr.args), _IFF if expr.op is Junction.IFF else own


def _compute(expr: Compute, name: Name) -> tuple[str, int]:
    match expr.op:
        case Arithmetic.MINIMUM | Arithmetic.MAXIMUM | Arithmetic.ABSOLUTE:
            return f"{_CALL[expr.op]}({', '.join(_text(arg, name, _IF) for arg in expr.args)})", _PRIMARY
        case Arithmetic.NEGATE:
            arg = expr.args[0]
            inner = f"({_text(arg, name, _IF)})" if isinstance(arg, Number) else _text(arg, name, _UNARY)
            return f"-{inner}", _UNARY
        case _:
            infix, own = _INFIX[expr.op]
            first, *rest = expr.args
            # The first operand of a sum may be a difference, and so on: all of them group from the left. A sum as the
            # first operand of a sum would be taken for one sum, as the operators of Python take it too.
            return infix.join([_text(first, name, own), *(_text(arg, name, own + 1) for arg in rest)]), own


# Whole files


def field_text(field: FieldSpec | Neighbours) -> str:
    """A field of a type."""
    if isinstance(field, Neighbours):
        return f"{field.name}: many {field.schema.__name__} at most {len(field.slots)}"
    text = f"{field.name}: {'optional ' if field.known is not None else ''}{_sort_text(field)}"
    return text if field.claim is None else f"{text}, {_claim_text(field, field.claim)}"


def _claim_text(field: FieldSpec, claim: Claimed) -> str:
    parts = [f"claimed by {claim.by}"]
    if claim.silent is not None:
        text = field.show(claim.silent)
        parts.append(f"else {word_text(text) if field.kind is Kind.CHOICE else text}")
    if claim.max_age_s is not None:
        parts.append(f"within {shortest(claim.max_age_s)} s")
    return ", ".join([*parts, "signed"] if claim.is_signed else parts)


def _sort_text(field: FieldSpec) -> str:
    match field.kind:
        case Kind.FLAG:
            return "flag"
        case Kind.CHOICE:
            return " | ".join(word_text(word) for word in field.words)
        case Kind.NUMBER:
            low, high = field.show(field.low), field.show(field.high)
            if field.is_whole and field.step == 1:
                return f"whole {low} to {high}"
            return f"number {low} to {high} step {shortest(field.step)}"


def type_text(schema: type[State] | type[Action], owner: str = "") -> str:
    """A state or action type, or with `owner` the type of a neighbour."""
    owner = owner or ("state" if issubclass(schema, State) else "action")
    body = "".join(f"  {field_text(field)}\n" for field in domain_of(schema).declared)
    return f"{owner} {schema.__name__} {{\n{body}}}\n"


def neighbour_types(state: type[State]) -> list[type[State]]:
    """The types of the neighbours of a state type, each once."""
    return list(dict.fromkeys(cast("type[State]", many.schema) for many in domain_of(state).neighbours.values()))


def rule_text(rule: Declaration, names: Name) -> str:
    """A rule."""
    head = f"{rule.kind} {rule.name}"
    if rule.is_critical:
        head += " critical"
    if rule.priority != DEFAULT_PRIORITY:
        head += f" priority {rule.priority}"
    if rule.source:
        head += f" source {quoted(rule.source)}"
    if rule.unless:
        head += f" unless {', '.join(rule.unless)}"
    if rule.overrides:
        head += f" overrides {', '.join(rule.overrides)}"
    if rule.trusts:
        head += f" trusts {', '.join(rule.trusts)}"
    if rule.title and rule.title != rule.name.replace("_", " "):
        head += f" {quoted(rule.title)}"
    verb = "that" if rule.kind == "require" else "when"
    return f"{head}\n  {verb} {broken(rule.expression, names, len(verb) + 3)}\n"


def broken(expr: Expr, name: Name, indent: int) -> str:
    """Text of an expression, broken before the outermost `and` or `or` where it is wide."""
    line = expression_text(expr, name)
    if len(line) + indent <= WIDTH or not isinstance(expr, Join) or expr.op not in (Junction.AND, Junction.OR):
        return line
    infix, own = _JOIN[expr.op]
    return f"\n    {infix.strip()} ".join(_text(arg, name, own + 1) for arg in expr.args)


def to_text(rules: RuleSet[State, Action]) -> str:
    """A whole rule set with its types: permits, then rules, each most important first."""
    names = namer(domain_of(rules.declared_state), domain_of(rules.action))
    declared = [*rules.permits, *(rule.declared for rule in rules.rules)]
    state = rules.declared_state
    types = [*(type_text(one, "neighbour") for one in neighbour_types(state)), type_text(state)]
    return joined([*types, type_text(rules.action)], [rule_text(one, names) for one in declared])


def joined(types: Sequence[str], rules: Iterable[str]) -> str:
    """Items of a file with one empty line between them."""
    return "\n".join([*types, *rules])
