"""The reading for many states at once: rules over arrays of codes, numpy's or torch's, without importing either.

    violated = batch(rules)(states, actions)        # (n, rule) bool: states (n, field), actions (n, field) or (field,)

Rules that differ in their constants alone are one **template**: its expression is evaluated once, over all states and
all those rules, with the constants as a column. Codes and whatever is computed from them are proved to fit into 16, 32
or 64 bits before anything runs; a set that does not fit is refused.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from symbolic.domain import domain_of
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
    Owner,
    Read,
    Same,
    is_truth,
)
from symbolic.reading.reference import Range, Walk

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

CELLS: Final = 1 << 18
"""States times rules that one template looks at in one go; of 2**12 to 2**18 the fastest where it was measured."""


KEPT_FUNCTIONS: Final = 4096
"""Generated functions that are kept: conditions that differ in their constants alone share one."""


class BatchError(ValueError):
    """Arrays of the wrong shape or codes outside their fields, or numbers too large for 64 bits: one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """Rules of one shape."""

    rules: tuple[int, ...]
    """Their places in the set."""
    source: str
    """Python source of the condition: rows `s[i]` and `a[i]`, columns of constants `c[k]`, the array library `xp`."""
    constants: tuple[tuple[int, ...], ...]
    """For each `c(k)` its value in every rule."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Call it: codes of states (n, field) and actions (n, field) or (field,) to (n, rule) bool, True where violated.

    Raises:
        BatchError: wrong shapes, or a code outside its field.
    """

    templates: tuple[Template, ...]
    state: tuple[tuple[int, int], ...]
    """Lowest and highest code of each field."""
    action: tuple[tuple[int, int], ...]
    bits: int
    """Width of the integers: 16, 32 or 64. Half the width takes about half the time."""
    functions: tuple[Callable[..., Any], ...]

    def __call__(self, states: Any, actions: Any) -> Any:
        xp = sys.modules[type(states).__module__.partition(".")[0]]
        if actions.ndim == 1:
            actions = actions[None, :]
        _demand_codes(states, self.state, "states")
        _demand_codes(actions, self.action, "actions")
        if len(actions) not in (1, len(states)):
            raise BatchError(f"expected 1 or {len(states)} actions, got {len(actions)}; give one for each state")
        count = sum(len(template.rules) for template in self.templates)
        # States run along the inner axis: what a template finds of one rule is then one piece of memory.
        found = xp.zeros((count, len(states)), dtype=xp.bool)
        kind = getattr(xp, f"int{self.bits}")
        state, action = _columns(xp, states, kind), _columns(xp, actions, kind)
        for template, function in zip(self.templates, self.functions, strict=True):
            constants = [xp.asarray(values, dtype=kind)[:, None] for values in template.constants]
            step = max(1, CELLS // len(template.rules))
            places = _slice(template.rules)
            for start in range(0, len(states), step):
                part = slice(start, start + step)
                s = [column[part] for column in state]
                a = [column[part] if len(column) > 1 else column for column in action]
                found[places, part] = function(xp, s, a, constants)
        return found.T


def batch(rules: RuleSet[Any, Any]) -> Batch:
    """The array reading of a rule set.

    Raises:
        BatchError: a rule computes numbers that may not fit into 64 bits.
    """
    groups: dict[str, list[tuple[int, list[int]]]] = {}
    largest = max(
        abs(end) for schema in (rules.state, rules.action) for f in domain_of(schema).fields for end in (f.low, f.high)
    )
    for place, rule in enumerate(rules.rules):
        writer = _Writer()
        source = writer.truth(rule.violation)
        if writer.largest >= 2**62:
            raise BatchError(f"rule `{rule.name}`: expected numbers below 2**62, got larger ones; coarsen the steps")
        largest = max(largest, writer.largest)
        groups.setdefault(source, []).append((place, writer.constants))
    templates = tuple(
        Template(
            rules=tuple(place for place, _ in members),
            source=source,
            constants=tuple(zip(*(constants for _, constants in members), strict=True)),
        )
        for source, members in groups.items()
    )
    domains = [
        tuple((field.low, field.high) for field in schema.__domain__.fields) for schema in (rules.state, rules.action)
    ]
    functions = tuple(_function(template.source) for template in templates)
    return Batch(templates, domains[0], domains[1], width(largest), functions)


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition over columns of codes, of one kind of integers and of any shapes that fit together."""

    function: Callable[..., Any]
    constants: tuple[int, ...]
    largest: int
    """No number that it computes is larger."""

    def __call__(self, xp: Any, kind: Any, state: Sequence[Any], action: Sequence[Any]) -> Any:
        """True where it holds; `kind` is the type of the columns of state and action, which are in field order."""
        return self.function(xp, state, action, [xp.asarray(value, dtype=kind) for value in self.constants])


@lru_cache(maxsize=KEPT_FUNCTIONS)
def condition(expr: Expr) -> Condition:
    """The array reading of one condition.

    Raises:
        BatchError: it computes numbers that may not fit into 64 bits.
    """
    writer = _Writer()
    source = writer.truth(expr)
    if writer.largest >= 2**62:
        raise BatchError("expected numbers below 2**62, got larger ones; coarsen the steps")
    return Condition(_function(source), tuple(writer.constants), writer.largest)


def width(largest: int) -> int:
    """Bits of the integers that numbers up to this size need: 16, 32 or 64."""
    # A quarter of the range is kept free: what is computed on the way may be twice as large as what is remembered.
    return next(bits for bits in (16, 32, 64) if largest < 2 ** (bits - 2))


def compile_value(expr: Expr) -> tuple[Callable[[Any, Any], Any], int]:
    """One expression over arrays, as a function and the denominator of its results (1 for a condition).

    The function takes codes of states (n, field) and of one action (field,), 64 bits wide, and gives whole numbers or
    truths, of shape (n,) or () where they do not depend on the state.

    Raises:
        BatchError: its numbers may not fit into 64 bits.
    """
    writer = _Writer()
    part = _Scaled(writer.truth(expr), 1, 0, 1) if is_truth(expr) else writer.number(expr)
    source = writer.text(part)
    if writer.largest >= 2**62:
        raise BatchError("expected numbers below 2**62, got larger ones; coarsen the steps")
    function = _function(source)

    def value(states: Any, action: Any) -> Any:
        xp = sys.modules[type(states).__module__.partition(".")[0]]
        constants = [xp.asarray(one, dtype=xp.int64) for one in writer.constants]
        return function(xp, list(states.T), list(action), constants)

    return value, part.denominator


@lru_cache(maxsize=KEPT_FUNCTIONS)
def _function(text: str) -> Callable[..., Any]:
    source = f"def find(xp, s, a, c):\n    return {text}\n"
    scope: dict[str, Any] = {"least": _least, "most": _most, "either": _either, "invert": _invert}
    exec(compile(source, "<rules as arrays>", "exec"), scope)  # noqa: S102 - generated from the validated tree alone
    found: Callable[..., Any] = scope["find"]
    return found


def _columns(xp: Any, codes: Any, kind: Any) -> list[Any]:
    """The codes of each field (n,), in one piece of memory."""
    return [column + 0 for column in xp.asarray(codes, dtype=kind).T]


def _demand_codes(codes: Any, ends: Sequence[tuple[int, int]], name: str) -> None:
    if codes.ndim != 2 or codes.shape[1] != len(ends) or "int" not in str(codes.dtype):
        shape = "x".join(map(str, codes.shape))
        raise BatchError(
            f"expected {name} as whole numbers of shape (n, {len(ends)}), got {shape} {codes.dtype}; use codes"
        )
    for index, (low, high) in enumerate(ends):
        column = codes[:, index]
        if len(codes) and not (low <= int(column.min()) and int(column.max()) <= high):
            raise BatchError(f"expected codes {low} to {high} in column {index} of the {name}, got others; check them")


def _slice(places: tuple[int, ...]) -> Any:
    """Places as a slice where they are one: assigning to it is faster."""
    is_run = places == tuple(range(places[0], places[0] + len(places)))
    return slice(places[0], places[0] + len(places)) if is_run else list(places)


def _least(xp: Any, *numbers: Any) -> Any:
    best = numbers[0]
    for number in numbers[1:]:
        best = xp.where(number < best, number, best)
    return best


def _most(xp: Any, *numbers: Any) -> Any:
    best = numbers[0]
    for number in numbers[1:]:
        best = xp.where(number > best, number, best)
    return best


def _either(xp: Any, condition: Any, then: Any, otherwise: Any) -> Any:
    return xp.where(condition, then, otherwise)


def _invert(truth: Any) -> Any:
    return ~truth


@dataclass(frozen=True, slots=True)
class _Scaled:
    """Source of an integer that is a number times a positive denominator, and the range of that integer."""

    text: str
    """Empty for a constant, which is written when its scale is known: so rules that differ in it share a template."""
    denominator: int
    low: int
    high: int


class _Writer:
    """Writes one condition as source, its constants apart, and remembers the largest number on the way."""

    def __init__(self) -> None:
        self.constants: list[int] = []
        self.largest = 0

    def constant(self, value: int) -> str:
        self.constants.append(value)
        self.largest = max(self.largest, abs(value))
        return f"c[{len(self.constants) - 1}]"

    def made(self, text: str, denominator: int, low: int, high: int) -> _Scaled:
        self.largest = max(self.largest, abs(low), abs(high))
        return _Scaled(text, denominator, low, high)

    def truth(self, expr: Expr) -> str:
        match expr:
            case Constant():
                return f"({self.constant(int(expr.value))} == 1)"
            case Read():
                return f"({_variable(expr)} == 1)"
            case Member():
                return f"({' | '.join(f'({_variable(expr.read)} == {self.constant(code)})' for code in expr.codes)})"
            case Same():
                return self.same(expr)
            case Compare():
                parts = self.aligned([self.number(expr.left), self.number(expr.right)])
                return f"({self.text(parts[0])} {expr.op.value} {self.text(parts[1])})"
            case Not():
                return f"invert({self.truth(expr.arg)})"
            case Join():
                return self.join(expr.op, [self.truth(arg) for arg in expr.args])
            case _:
                raise TypeError(f"expected a condition, got {type(expr).__name__}; compare it with a value")

    def same(self, expr: Same) -> str:
        words = expr.right.field.words
        pairs = [(code, words.index(word)) for code, word in enumerate(expr.left.field.words) if word in words]
        left, right = _variable(expr.left), _variable(expr.right)
        tests = [f"(({left} == {self.constant(c)}) & ({right} == {self.constant(d)}))" for c, d in pairs]
        return f"({' | '.join(tests)})"

    def join(self, op: Junction, parts: list[str]) -> str:
        match op:
            case Junction.AND:
                return f"({' & '.join(parts)})"
            case Junction.OR:
                return f"({' | '.join(parts)})"
            case Junction.IMPLIES:
                return f"(invert({parts[0]}) | {parts[1]})"
            case Junction.IFF:
                return f"({parts[0]} == {parts[1]})"

    def number(self, expr: Expr) -> _Scaled:
        match expr:
            case Number():
                value = expr.value.numerator
                return _Scaled("", expr.value.denominator, value, value)
            case Read():
                field, text = expr.field, _variable(expr)
                if field.numerator != 1:
                    text = f"({self.constant(field.numerator)} * {text})"
                return self.made(text, field.denominator, field.low * field.numerator, field.high * field.numerator)
            case Choose():
                condition = self.truth(expr.condition)
                then, otherwise = self.aligned([self.number(expr.then), self.number(expr.otherwise)])
                text = f"either(xp, {condition}, {self.text(then)}, {self.text(otherwise)})"
                low, high = min(then.low, otherwise.low), max(then.high, otherwise.high)
                return self.made(text, then.denominator, low, high)
            case Compute():
                return self.compute(expr, [self.number(arg) for arg in expr.args])
            case _:
                raise TypeError(f"expected a number, got {type(expr).__name__}; compare numbers with numbers")

    def compute(self, expr: Compute, parts: list[_Scaled]) -> _Scaled:
        if expr.op is Arithmetic.MULTIPLY:
            denominator = parts[0].denominator * parts[1].denominator
        else:
            parts = self.aligned(parts)
            denominator = parts[0].denominator
        texts = [self.text(part) for part in parts]
        text = _OPERATORS[expr.op].join(texts) if expr.op in _OPERATORS else _call(expr.op, texts)
        if expr.op is Arithmetic.FLOOR_DIVIDE:
            denominator = 1
        if expr.op is Arithmetic.ADD:  # a partial sum may reach further than the whole
            self.largest = max(self.largest, sum(max(abs(part.low), abs(part.high)) for part in parts))
        reach = Walk(None, None).number(expr)
        return self.made(f"({text})", denominator, *_ends(reach, denominator))

    def text(self, part: _Scaled) -> str:
        return part.text or self.constant(part.low)

    def aligned(self, parts: list[_Scaled]) -> list[_Scaled]:
        """Numbers over their common denominator."""
        common = math.lcm(*(part.denominator for part in parts))
        return [self.times(part, common // part.denominator, common) for part in parts]

    def times(self, part: _Scaled, factor: int, common: int) -> _Scaled:
        if factor == 1:
            return part
        text = part.text and f"({self.constant(factor)} * {part.text})"
        return self.made(text, common, part.low * factor, part.high * factor)


_OPERATORS: Final = {
    Arithmetic.ADD: " + ",
    Arithmetic.SUBTRACT: " - ",
    Arithmetic.MULTIPLY: " * ",
    Arithmetic.FLOOR_DIVIDE: " // ",
    Arithmetic.MODULO: " % ",
}


def _call(op: Arithmetic, texts: list[str]) -> str:
    match op:
        case Arithmetic.NEGATE:
            return f"-{texts[0]}"
        case Arithmetic.ABSOLUTE:
            return f"abs({texts[0]})"
        case Arithmetic.MINIMUM:
            return f"least(xp, {', '.join(texts)})"
        case _:
            return f"most(xp, {', '.join(texts)})"


def _ends(reach: Range, denominator: int) -> tuple[int, int]:
    return math.floor(reach.low * denominator), math.ceil(reach.high * denominator)


def _variable(read: Read) -> str:
    return f"{'s' if read.owner is Owner.STATE else 'a'}[{read.field.index}]"
