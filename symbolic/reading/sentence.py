"""The reading for people and prompts: English sentences of rules, and phrases of single conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

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
    Owner,
    Past,
    Quantified,
    Quantifier,
    Read,
    Remaining,
    Same,
    Tense,
    reads,
)
from symbolic.field import shortest

if TYPE_CHECKING:
    from symbolic.rule import Rule

Namer = Callable[[Read, int | None], str]
"""The word for a field (None) or for one value of it (its code)."""

IS_KNOWN: Final = " is known"
"""Ends the word for a flag that says whether another field is known, where it has none of its own."""

_LOOSE, _OR, _AND, _NOT, _ATOM = range(5)
"""How tightly the parts of a phrase bind."""

_INFIX: Final = {
    Arithmetic.ADD: "+",
    Arithmetic.SUBTRACT: "-",
    Arithmetic.MULTIPLY: "*",
    Arithmetic.FLOOR_DIVIDE: "//",
    Arithmetic.MODULO: "%",
}
_CALL: Final = {Arithmetic.MINIMUM: "min", Arithmetic.MAXIMUM: "max", Arithmetic.ABSOLUTE: "abs"}


def sentence(rule: Rule) -> str:
    """One English sentence with the declared names, such as `Forbidden when light is red and speed > 3.`."""
    text = _truth(rule.shown, _declared(rule.shown), _LOOSE)
    return f"{'Forbidden when' if rule.kind == 'forbid' else 'Required:'} {text}."


def part(expr: Expr, whole: Expr) -> str:
    """A condition that is part of another, with the declared names as in the whole's sentence."""
    return _truth(expr, _declared(whole), _LOOSE)


def _declared(whole: Expr) -> Namer:
    """The declared names; where a state and an action field share one, with their owners."""
    owners: dict[str, set[Owner]] = {}
    for read in reads(whole):
        owners.setdefault(_own(read), set()).add(read.owner)

    def name(read: Read, code: int | None) -> str:
        if code is not None:
            return read.field.words[code]
        owner = read.of or (read.owner.value if len(owners[_own(read)]) > 1 else "")
        text = f"{owner}.{_own(read)}" if owner else _own(read)
        return text + IS_KNOWN if read.field.known_of else text

    return name


def phrase(expr: Expr, words: Mapping[str, str]) -> str:
    """Text of a condition or number with every name replaced: fields by `gap_m`, values by `light=red`.

    An action's field may be keyed `action.manoeuvre` (and `action.manoeuvre=go`) where a state field has its
    name. Tokens are separated by single spaces. A name without a word is an `ExpressionError`.
    """

    def name(read: Read, code: int | None) -> str:
        key = read.field.name if code is None else f"{read.field.name}={read.field.words[code]}"
        found = words.get(f"action.{key}") if read.owner is Owner.ACTION else None
        if found is None:
            found = words.get(key)
        if found is None:
            raise ExpressionError(f"expected a word for `{key}`, got none; add it to the words")
        return found

    if isinstance(expr, Number | Compute | Choose | Remaining):
        return _number(expr, name, is_operand=False)
    return _truth(expr, name, _LOOSE)


def _own(read: Read) -> str:
    """The name of a field; of a flag that says whether another is known, the name of that."""
    return read.field.known_of or read.field.name


def _truth(expr: Expr, name: Namer, binding: int) -> str:
    match expr:
        case Constant():
            return "always" if expr.value else "never"
        case Read():
            return name(expr, None)
        case Member():
            return _member(expr, name, binding)
        case Same():
            return f"{name(expr.left, None)} is {name(expr.right, None)}"
        case Compare():
            left, right = (_number(side, name, is_operand=False) for side in (expr.left, expr.right))
            return f"{left} {expr.op.value} {right}"
        case Not():
            return _not(expr.arg, name, binding)
        case Join():
            text, own = _join(expr, name)
            return f"( {text} )" if own < binding else text
        case Quantified(Quantifier.ALL | Quantifier.ANY as op, over, one, body):
            each = "every" if op is Quantifier.ALL else "some"
            text = f"for {each} {one} of {over.name}: {_truth(body, name, _LOOSE)}"
            return f"( {text} )" if binding > _LOOSE else text
        case Past():
            return _past(expr, name)
        case _:
            raise ExpressionError(f"expected a condition, got {type(expr).__name__.lower()}; compare it with a value")


def _not(arg: Expr, name: Namer, binding: int) -> str:
    match arg:
        case Member():
            codes = tuple(code for code in range(arg.read.field.high + 1) if code not in arg.codes)
            if len(arg.codes) == 1:
                return f"{name(arg.read, None)} is not {name(arg.read, arg.codes[0])}"
            return _member(Member(arg.read, codes), name, binding) if codes else "never"
        case Same():
            return f"{name(arg.left, None)} is not {name(arg.right, None)}"
        case Read():
            text = name(arg, None)
            return f"{text.removesuffix(IS_KNOWN)} is not known" if text.endswith(IS_KNOWN) else f"not {text}"
        case _:
            return f"not ( {_truth(arg, name, _LOOSE)} )"


def _member(expr: Member, name: Namer, binding: int) -> str:
    subject, count = name(expr.read, None), expr.read.field.high + 1
    if len(expr.codes) > 1 and len(expr.codes) == count - 1:
        missing = next(code for code in range(count) if code not in expr.codes)
        return f"{subject} is not {name(expr.read, missing)}"
    text = f"{subject} is {' or '.join(name(expr.read, code) for code in expr.codes)}"
    return f"( {text} )" if len(expr.codes) > 1 and binding > _OR else text


def _join(expr: Join, name: Namer) -> tuple[str, int]:
    match expr.op:
        case Junction.AND:
            return " and ".join(_truth(arg, name, _NOT) for arg in expr.args), _AND
        case Junction.OR:
            return " or ".join(_truth(arg, name, _AND) for arg in expr.args), _OR
        case Junction.IMPLIES:
            return f"if {_truth(expr.args[0], name, _OR)} then {_truth(expr.args[1], name, _OR)}", _LOOSE
        case Junction.IFF:
            return " same as ".join(_truth(arg, name, _ATOM) for arg in expr.args), _LOOSE


def _past(expr: Past, name: Namer) -> str:
    """A truth about what was; its conditions always in brackets, with the words for the time in front."""
    parts = [f"( {_truth(arg, name, _LOOSE)} )" for arg in expr.args]
    seconds = "" if expr.window_s is None else f"{shortest(expr.window_s)} s"
    window = f" in the last {seconds}" if seconds else ""
    match expr.op:
        case Tense.PREV:
            return f"just before {parts[0]}"
        case Tense.RISING:
            return f"newly {parts[0]}"
        case Tense.ONCE:
            return f"at any time{window or ' until now'} {parts[0]}"
        case Tense.HISTORICALLY:
            return f"at all times{window or ' until now'} {parts[0]}"
        case Tense.HELD_FOR:
            return f"for {seconds} or more {parts[0]}"
        case Tense.SINCE:
            return f"{parts[0]} ever since{window} {parts[1]}"


def _number(expr: Expr, name: Namer, *, is_operand: bool) -> str:
    match expr:
        case Number():
            return shortest(expr.value)
        case Read():
            return name(expr, None)
        case Choose():
            then, otherwise = (_number(side, name, is_operand=True) for side in (expr.then, expr.otherwise))
            return f"( {then} if {_truth(expr.condition, name, _OR)} else {otherwise} )"
        case Compute():
            return _compute(expr, name, is_operand)
        case Quantified(Quantifier.COUNT, over, one, body):
            return f"( number of {one} of {over.name} with {_truth(body, name, _LOOSE)} )"
        case Remaining():
            trigger, done = (_truth(arg, name, _LOOSE) for arg in (expr.trigger, expr.done))
            return f"seconds left of {shortest(expr.window_s)} from ( {trigger} ) to ( {done} )"
        case _:
            raise ExpressionError(f"expected a number, got {type(expr).__name__.lower()}; compare numbers with numbers")


def _compute(expr: Compute, name: Namer, is_operand: bool) -> str:
    if expr.op in _CALL:
        return f"{_CALL[expr.op]} ( {' , '.join(_number(arg, name, is_operand=False) for arg in expr.args)} )"
    parts = [_number(arg, name, is_operand=True) for arg in expr.args]
    text = f"- {parts[0]}" if expr.op is Arithmetic.NEGATE else f" {_INFIX[expr.op]} ".join(parts)
    if expr.op is Arithmetic.ADD:
        text = text.replace(" + -", " - ")
    return f"( {text} )" if is_operand else text
