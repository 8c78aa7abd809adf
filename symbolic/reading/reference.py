"""The executable specification: a plain walk over the tree, slow and easy to read.

Every other reading of a rule is tested against this file. Numbers are exact fractions; what facts leave
open is carried as the lowest and highest possible value, truths as `YES`, `NO` or `MAYBE` (Kleene's logic).
`YES` and `NO` are sound: they hold for every state that the facts allow. `MAYBE` may be imprecise, because
two readings of one unknown field are not related to each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from symbolic.domain import Action, State, codes_of
from symbolic.expression import (
    DIVISIONS,
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
    Past,
    Quantified,
    Quantifier,
    Read,
    Remaining,
    Same,
    walk,
)
from symbolic.facts import ABSENT, Facts
from symbolic.field import shortest
from symbolic.neighbours import Slot

if TYPE_CHECKING:
    from symbolic.rule import Rule


class Truth(Enum):
    """Kleene's three truths; asking one for a bool is an error, so that MAYBE is never read as either."""

    NO = 0
    MAYBE = 1
    YES = 2

    def __bool__(self) -> bool:
        """Refuse: compare with `is`."""
        raise TypeError("expected `truth is Truth.YES`, got a truth test; MAYBE is neither")


YES, NO, MAYBE = Truth.YES, Truth.NO, Truth.MAYBE


class Range(NamedTuple):
    """Lowest and highest possible value of a number."""

    low: Fraction
    high: Fraction


def truth(expr: Expr, facts: Facts, action: Action | None = None) -> Truth:
    """What the facts say of a condition; without an action its fields are unknown too."""
    return Walk(facts, None if action is None else codes_of(action)).truth(expr)


def violated(rule: Rule, state: State, action: Action) -> bool:
    """Whether the action breaks the rule in a fully known state."""
    found = truth(rule.violation, Facts.exact(state), action)
    assert found is not MAYBE, "exact facts decide every condition"
    return found is YES


def numbers(rule: Rule, facts: Facts, action: Action) -> Mapping[str, str]:
    """The fields that a rule reads with the text of their values, in order of first appearance."""
    return shown(rule.reads, facts, codes_of(action))


def shown(fields: Sequence[Read], facts: Facts, action: tuple[int, ...]) -> dict[str, str]:
    """Names and texts of some fields, of neighbours where they are there.

    An action's field that has the name of a state's is `action.NAME`.
    """
    texts: dict[str, str] = {}
    for read in fields:
        field = read.field
        text = facts.show(field) if read.owner is Owner.STATE else field.show(action[field.index])
        if text == ABSENT and field.present is not None:
            continue
        texts[f"{read.owner.value}.{field.name}" if field.name in texts else field.name] = text
    return texts


class Walk:
    """The two recursive walks, for one set of facts and one action; None leaves all their fields unknown."""

    __slots__ = ("action", "facts", "named")

    def __init__(self, facts: Facts | None, action: tuple[int, ...] | None) -> None:
        self.facts = facts
        self.action = action
        self.named: dict[str, Slot] = {}
        """The slots of the neighbours that quantifiers have named, innermost last."""

    def truth(self, expr: Expr) -> Truth:
        """Truth of a condition."""
        match expr:
            case Constant():
                return YES if expr.value else NO
            case Read():
                return _among(self.codes(expr), {1})
            case Member():
                return _among(self.codes(expr.read), set(expr.codes))
            case Same():
                return self.same(expr)
            case Compare():
                return compare(expr.op, self.number(expr.left), self.number(expr.right))
            case Not():
                return opposite(self.truth(expr.arg))
            case Join():
                return join(expr.op, [self.truth(arg) for arg in expr.args])
            case Quantified(Quantifier.ALL):
                return join(Junction.AND, [join(Junction.IMPLIES, list(one)) for one in self.neighbours(expr)])
            case Quantified(Quantifier.ANY):
                return join(Junction.OR, [join(Junction.AND, list(one)) for one in self.neighbours(expr)])
            case Past():
                return MAYBE  # what was perceived before is not in these facts
            case _:
                raise TypeError(f"expected a condition, got {type(expr).__name__}; compare it with a value")

    def number(self, expr: Expr) -> Range:
        """Range of a number."""
        match expr:
            case Number():
                return Range(expr.value, expr.value)
            case Read():
                span, step = self.codes(expr), expr.field.step
                return Range(span[0] * step, span[1] * step)
            case Compute():
                return compute(expr.op, [self.number(arg) for arg in expr.args])
            case Choose():
                found, then, otherwise = self.truth(expr.condition), self.number(expr.then), self.number(expr.otherwise)
                if found is MAYBE:
                    return Range(min(then.low, otherwise.low), max(then.high, otherwise.high))
                return then if found is YES else otherwise
            case Quantified(Quantifier.COUNT):
                found_all = [join(Junction.AND, list(one)) for one in self.neighbours(expr)]
                sure, possible = (sum(one.value >= least.value for one in found_all) for least in (YES, MAYBE))
                return Range(Fraction(sure), Fraction(possible))
            case Remaining():
                return Range(-expr.step_s, expr.window_s)
            case _:
                raise TypeError(f"expected a number, got {type(expr).__name__}; compare numbers with numbers")

    def neighbours(self, expr: Quantified) -> list[tuple[Truth, Truth]]:
        """For each slot: whether somebody is there, and the truth of the condition of who is."""
        pairs = []
        for slot in expr.over.slots:
            self.named[expr.name] = slot
            pairs.append((self.truth(Read(Owner.STATE, slot.present)), self.truth(expr.body)))
            del self.named[expr.name]
        return pairs

    def codes(self, read: Read) -> tuple[int, int]:
        """Lowest and highest code of a field."""
        slot = self.named.get(read.of)
        field = read.field if slot is None else slot.fields[read.field.index]
        if read.owner is Owner.STATE:
            return (field.low, field.high) if self.facts is None else self.facts.span(field)
        return (field.low, field.high) if self.action is None else (self.action[field.index],) * 2

    def same(self, expr: Same) -> Truth:
        """Whether two choices have the same word."""
        left, right = (self.words(read) for read in (expr.left, expr.right))
        if expr.left == expr.right or (left == right and len(left) == 1):
            return YES
        return MAYBE if left & right else NO

    def words(self, read: Read) -> set[str]:
        """The words that a choice may have."""
        low, high = self.codes(read)
        return set(read.field.words[low : high + 1])


def _among(span: tuple[int, int], codes: set[int]) -> Truth:
    possible = set(range(span[0], span[1] + 1))
    if possible <= codes:
        return YES
    return MAYBE if possible & codes else NO


def opposite(found: Truth) -> Truth:
    """Kleene's negation."""
    return Truth(2 - found.value)


def join(op: Junction, parts: list[Truth]) -> Truth:
    """Kleene's connectives, by the order NO < MAYBE < YES."""
    ranks = [part.value for part in parts]
    match op:
        case Junction.AND:
            return Truth(min(ranks))
        case Junction.OR:
            return Truth(max(ranks))
        case Junction.IMPLIES:
            return Truth(max(2 - ranks[0], ranks[1]))
        case Junction.IFF:
            return MAYBE if MAYBE in parts else (YES if parts[0] is parts[1] else NO)


def compare(op: Order, left: Range, right: Range) -> Truth:
    """A comparison of two ranges, taken as unrelated."""
    match op:
        case Order.LT:
            return _decide(left.high < right.low, left.low >= right.high)
        case Order.LE:
            return _decide(left.high <= right.low, left.low > right.high)
        case Order.GT:
            return compare(Order.LT, right, left)
        case Order.GE:
            return compare(Order.LE, right, left)
        case Order.EQ:
            is_single = left.low == left.high == right.low == right.high
            return _decide(is_single, left.high < right.low or right.high < left.low)
        case Order.NE:
            return opposite(compare(Order.EQ, left, right))


def _decide(is_sure: bool, is_excluded: bool) -> Truth:
    return YES if is_sure else NO if is_excluded else MAYBE


def compute(op: Arithmetic, parts: list[Range]) -> Range:
    """Interval arithmetic, exact at the ends."""
    lows, highs = [part.low for part in parts], [part.high for part in parts]
    match op:
        case Arithmetic.ADD:
            return Range(sum(lows, Fraction()), sum(highs, Fraction()))
        case Arithmetic.SUBTRACT:
            return Range(lows[0] - highs[1], highs[0] - lows[1])
        case Arithmetic.NEGATE:
            return Range(-highs[0], -lows[0])
        case Arithmetic.MULTIPLY:
            products = [one * other for one in parts[0] for other in parts[1]]
            return Range(min(products), max(products))
        case Arithmetic.FLOOR_DIVIDE:
            quotients = [Fraction(one // other) for one in parts[0] for other in parts[1]]
            return Range(min(quotients), max(quotients))
        case Arithmetic.MODULO:
            return _modulo(parts[0], parts[1])
        case Arithmetic.MINIMUM:
            return Range(min(lows), min(highs))
        case Arithmetic.MAXIMUM:
            return Range(max(lows), max(highs))
        case Arithmetic.ABSOLUTE:
            low, high = parts[0]
            return Range(max(Fraction(), low, -high), max(-low, high))


def _modulo(left: Range, right: Range) -> Range:
    """Rests of divisions by a range that does not hold 0: exact where the quotient is the same throughout."""
    quotients = {one // other for one in left for other in right}
    if len(quotients) == 1:
        rests = [one - other * next(iter(quotients)) for one in left for other in right]
        return Range(min(rests), max(rests))
    return Range(min(Fraction(), right.low), max(Fraction(), right.high))


def demand_divisors(expr: Expr) -> None:
    """Refuse a division whose divisor may be 0 within the declared ranges."""
    for node in walk(expr):
        if isinstance(node, Compute) and node.op in DIVISIONS:
            divisor = Walk(None, None).number(node.args[1])
            if divisor.low <= 0 <= divisor.high:
                raise ExpressionError(
                    f"expected a divisor that is never 0, got one from {shortest(divisor.low)} to "
                    f"{shortest(divisor.high)}; divide by a constant or by `maximum(x, 1)`"
                )


def everything(expr: Expr) -> Truth:
    """Truth of a condition when nothing is known but the declared ranges."""
    return Walk(None, None).truth(expr)
