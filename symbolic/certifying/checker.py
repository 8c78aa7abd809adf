"""An independent checker of certificates: no code shared with the rest of the package, no solver, no generated code.

    check(certificate_text, rules_text)      # says what was shown, or raises RefusedError or OpenError

Input is text alone: a certificate and the canonical JSON of the rules that it names by hash. Conditions are walked over
boxes: a lowest and a highest code of each field and value of each number, and truths that may be open.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NoReturn

Key = tuple[str, str]  # owner (`state` or `action`) and name of a field
Box = dict[Key, tuple[int, int]]  # lowest and highest code of each field
Numbers = tuple[Any, Any]  # lowest and highest value, int or Fraction

NO, EITHER, YES = 0, 1, 2  # what a truth may be in a box: `and` is the least, `or` the greatest, `not` the rest to 2
MAX_BOXES = 50_000  # looked at for one certificate; beyond, nothing is shown
SORTS = {"flag": (bool,), "choice": (str,), "number": (int, float)}


class RefusedError(ValueError):
    """The certificate does not hold, or is none: one line why."""


class OpenError(ValueError):
    """The checker cannot tell within its budget; never read as a certificate that holds."""


@dataclass(slots=True)
class Field:
    """One declared field; it remembers the codes and numbers that it was asked for."""

    name: str
    kind: str
    low: int
    high: int
    step: Fraction
    words: list[str]
    codes: dict[Any, int] = field(default_factory=dict)
    values: dict[int, Any] = field(default_factory=dict)

    def code(self, value: Any) -> int:
        """The code of an exact value as JSON holds it."""
        if type(value) in SORTS[self.kind] and value not in self.codes:
            number = self.words.index(value) if self.kind == "choice" else Fraction(repr(value * 1)) / self.step
            if number == int(number) and self.low <= number <= self.high:
                self.codes[value] = int(number)
        if type(value) not in SORTS[self.kind] or value not in self.codes:
            _refuse(f"expected a value of `{self.name}`, got `{value!r:.40}`")
        return self.codes[value]

    def value(self, code: int) -> Any:
        """The number of a code: an int where it is whole, which is faster."""
        if code not in self.values:
            exact = code * self.step
            self.values[code] = exact.numerator if exact.denominator == 1 else exact
        return self.values[code]


@dataclass(slots=True)
class Rules:
    """A rule set as its canonical JSON says."""

    text: str
    fields: dict[Key, Field] = field(default_factory=dict)
    rules: dict[str, dict[str, Any]] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)  # names of what can be broken, R1 first
    defeaters: dict[str, list[str]] = field(default_factory=dict)
    reads: dict[str, set[Key]] = field(default_factory=dict)  # of the state, by each rule and what may defeat it
    whole: dict[str, Box] = field(default_factory=dict)  # the box of all states, and that of all actions
    boxes: int = 0

    def __post_init__(self) -> None:
        plain = _parsed(self.text)
        for owner in ("state", "action"):
            for name, kind, low, high, step, _, words, *_ in plain[owner]["fields"]:
                self.fields[owner, name] = Field(name, kind, low, high, Fraction(step), words)
        slots = {name: at_most for name, at_most, _ in plain["state"].get("neighbours", ())}
        for rule in sorted(plain["rules"], key=lambda one: (-one["priority"], one["name"])):
            self.rules[rule["name"]] = {**rule, "expression": _recalled(_plain(rule["expression"], slots), self.fields)}
            self.defeaters[rule["name"]] = list(rule.get("unless", []))
        for owner in ("state", "action"):
            self.whole[owner] = {key: (one.low, one.high) for key, one in self.fields.items() if key[0] == owner}
        for name, other in ((name, other) for name, rule in self.rules.items() for other in rule.get("overrides", [])):
            self.defeaters[other].append(name)
        self.order = [name for name, rule in self.rules.items() if rule["kind"] != "permit"]
        self.reads = {name: set(self.read(name)) for name in self.order}

    def read(self, name: str, above: tuple[str, ...] = ()) -> Iterator[Key]:
        if name in above:
            _refuse(f"expected rules that do not defeat each other in a circle, got one at `{name}`")
        yield from _fields(self.rules[name]["expression"])
        yield from (key for other in self.defeaters[name] for key in self.read(other, (*above, name)))

    def violated(self, name: str, box: Box) -> int:
        """Whether a rule is broken in a box, its exceptions counted; `breaks`: left out."""
        return self.undefeated(name, self.breaks(name, box), box)

    def breaks(self, name: str, box: Box) -> int:
        found = self.truth(self.rules[name]["expression"], box)
        return 2 - found if self.rules[name]["kind"] == "require" else found

    def undefeated(self, name: str, own: int, box: Box) -> int:
        """A truth about a rule, as far as no rule in force defeats that rule."""
        for other in self.defeaters[name] if own else ():
            if self.rules[other]["kind"] == "permit":
                applies = self.truth(self.rules[other]["expression"], box)
            else:
                applies = self.applies(other, box, self.whole["action"])
            own = min(own, 2 - self.undefeated(other, applies, box))
        return own

    def applies(self, name: str, box: Box, action: Box) -> int:
        """Whether a rule forbids, in a box of states, some action of a box of actions."""
        found = self.looked(self.breaks(name, box | action))
        halves = (self.applies(name, box, half) for half in self.halves(action, action))
        return max(halves, default=EITHER) if found == EITHER else found

    def truth(self, node: Any, box: Box) -> int:
        op = node[0]
        if op in ("and", "or"):
            pick, found, last = (min, YES, NO) if op == "and" else (max, NO, YES)
            for part in node[1:]:
                if (found := pick(found, self.truth(part, box))) == last:
                    break
            return found
        if op in ("<", "<=", "=="):
            (low, high), (least, most) = self.number(node[1], box), self.number(node[2], box)
            if op == "==":
                return _decided(low == high == least == most, high < least or most < low)
            return _decided(high < least, low >= most) if op == "<" else _decided(high <= least, low > most)
        match node:
            case ["not", part]:
                return 2 - self.truth(part, box)
            case ["member", [_, *key], *words]:
                possible = self.possible(tuple(key), box)
                return _decided(possible <= {*words}, not possible & {*words})
            case ["read", _, _]:  # both ends of a flag: none, one or two are 1, as in NO, EITHER, YES
                return sum(box[node[1], node[2]])
            case ["implies", left, right]:
                return max(2 - self.truth(left, box), self.truth(right, box))
            case ["iff", left, right]:
                first, second = self.truth(left, box), self.truth(right, box)
                return EITHER if EITHER in (first, second) else _decided(first == second, first != second)
            case [">" | ">=" as sign, left, right]:
                return self.truth([sign.replace(">", "<"), right, left], box)
            case ["!=", *sides]:
                return 2 - self.truth(["==", *sides], box)
            case ["same", [_, *left], [_, *right]]:
                mine, other = (self.possible(tuple(key), box) for key in (left, right))
                return _decided(left == right or (mine == other and len(mine) == 1), not mine & other)
            case ["constant", bool(value)]:
                return YES if value else NO
        _refuse(f"expected a condition, got `{node!r:.60}`")

    def possible(self, key: Any, box: Box) -> set[str]:
        return set(self.fields[key].words[box[key][0] : box[key][1] + 1])

    def number(self, node: Any, box: Box) -> Numbers:
        op, *parts = node
        if op == "read":
            (low, high), one = box[node[1], node[2]], self.fields[node[1], node[2]]
            return one.value(low), one.value(high)
        if op == "number":
            return (Fraction(node[1]) if "/" in node[1] else int(node[1]),) * 2
        if op == "choose":
            found = self.truth(parts[0], box)
            sides = [self.number(part, box) for part, never in ((parts[1], NO), (parts[2], YES)) if found != never]
            return min(low for low, _ in sides), max(high for _, high in sides)
        return _computed(op, [self.number(part, box) for part in parts])

    def box_of(self, owner: str, values: Mapping[str, Any]) -> Box:
        """The box of values that are exact, [lowest, highest], or None for unknown."""
        if {(owner, name) for name in values} != set(self.whole[owner]):
            _refuse(f"expected a value of each field of the {owner}, got `{sorted(values)!r:.80}`")
        box = {key: self.span(self.fields[key], values[key[1]]) for key in self.whole[owner]}
        if owner == "action" and any(low != high for low, high in box.values()):
            _refuse("expected one action, got several at once")
        return box

    def span(self, one: Field, value: Any) -> tuple[int, int]:
        told = value if isinstance(value, list) else [value, value]
        low, high = (one.low, one.high) if value is None else map(one.code, told)
        return (low, high) if low <= high else _refuse(f"expected an ordered range of `{one.name}`, got `{value!r}`")

    def halves(self, box: Box, keys: Collection[Key]) -> Iterator[Box]:
        """The two halves of a box across the widest of some fields; none where all of them are points."""
        key = max(sorted(keys), key=lambda key: box[key][1] - box[key][0], default=None)
        if key is not None and box[key][0] < box[key][1]:
            (low, high), middle = box[key], sum(box[key]) // 2
            yield from ({**box, key: span} for span in ((low, middle), (middle + 1, high)))

    def ever(self, name: str, box: Box) -> bool:
        """Whether a rule is broken anywhere in a box."""
        found = self.looked(self.violated(name, box))
        return found == YES or (found == EITHER and any(self.ever(name, h) for h in self.halves(box, self.reads[name])))

    def is_safe(self, box: Box) -> bool:
        return not any(self.ever(name, box) for name in self.order)

    def covered(self, box: Box, witnesses: Sequence[Box]) -> bool:
        """Whether in every state of a box some witness breaks no rule."""
        if any(self.looked(max(self.violated(name, box | one) for name in self.order)) == NO for one in witnesses):
            return True
        halves = list(self.halves(box, set().union(*self.reads.values())))
        return bool(halves) and all(self.covered(half, witnesses) for half in halves)

    def looked(self, found: int) -> int:
        self.boxes += 1
        if self.boxes <= MAX_BOXES:
            return found
        raise OpenError(f"expected an answer within {MAX_BOXES} boxes, got none; too much is left open")


def check(certificate: str, rules: str | Rules) -> str:
    """The kind of a certificate that holds for these rules, given as canonical JSON or read once as `Rules`.

    Raises `RefusedError` where what it says is not so, or it is none for these rules, `OpenError` where that is open.
    """
    try:
        plain = _parsed(certificate)
        own = rules if isinstance(rules, Rules) else Rules(rules)
        if hashlib.sha256(own.text.encode()).hexdigest() != plain["rules"] or plain["version"] != 1 or not own.order:
            _refuse("expected a certificate of version 1 for these rules, got one for others")
        own.boxes = 0
        {"verdict": _verdict, "repair": _repair, "totality": _totality}[plain["kind"]](own, plain)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError, ArithmeticError, RecursionError) as error:
        if isinstance(error, RefusedError | OpenError):
            raise
        raise RefusedError(f"expected a certificate and its rules, got malformed ones ({error!r:.80})") from None
    return str(plain["kind"])


def _verdict(rules: Rules, plain: Mapping[str, Any]) -> None:
    """Every rule that is not said to be undecided is broken somewhere in the facts if and only if that is said."""
    violated, undecided = plain["violated"], plain["undecided"]
    anchors = [f"R{place}" for place in range(1, len(rules.order) + 1)]
    is_told = [one for one in anchors if one in violated] == violated and {*undecided} <= {*anchors} - {*violated}
    if not is_told or plain["outcome"] != ("unsafe" if violated else "undecided" if undecided else "safe"):
        _refuse(f"expected an outcome that follows from the rules named, got `{plain['outcome']!r:.20}`")
    box = rules.box_of("state", plain["facts"]["fields"]) | rules.box_of("action", plain["action"])
    for anchor, name in zip(anchors, rules.order, strict=True):
        if anchor not in undecided and rules.ever(name, box) is not (anchor in violated):
            _refuse(f"expected {anchor} to be told as it is, got the opposite")


def _repair(rules: Rules, plain: Mapping[str, Any]) -> None:
    """The action is safe, and no action that is nearer to the wanted one, or as near and listed first, is safe."""
    state = rules.box_of("state", plain["facts"]["fields"])
    wanted, chosen = (rules.box_of("action", plain[key]) for key in ("wanted", "action"))
    costs = plain.get("metric", {name: None for _, name in wanted})

    def rank(box: Box) -> tuple[Any, list[int]]:
        """Least distance in a box, and the first place in the order of the list."""
        away = sum(_away(rules.fields[key], costs[key[1]], wanted[key][0], *span) for key, span in box.items())
        return away, [low for low, _ in box.values()]

    def has_better(box: Box) -> bool:
        """Whether some action of a box is safe and comes before the chosen one."""
        if rank(box) >= rank(chosen):
            return False
        if rules.looked(max(rules.violated(name, state | box) for name in rules.order)) == YES:
            return False
        halves = list(rules.halves(box, box))
        return any(map(has_better, halves)) if halves else rules.is_safe(state | box)

    away, _ = rank(chosen)
    if plain["distance"] != (away if away == int(away) else str(away)):
        _refuse(f"expected the distance {away}, got `{plain['distance']!r:.20}`")
    if not rules.is_safe(state | chosen) or has_better(rules.whole["action"]):
        _refuse("expected the nearest safe action, got another")


def _away(one: Field, cost: Any, wanted: int, low: int, high: int) -> Any:
    """Least cost from a code to any of a range: steps, a cost of a unit or of any change, or rows between words."""
    gap = max(low - wanted, wanted - high, 0)
    if cost is not None and ("e" in str(cost).lower() or (not isinstance(cost, list) and Fraction(cost) <= 0)):
        _refuse(f"expected a cost above 0 of `{one.name}`, got `{cost!r:.20}`")  # an exponent could fill the memory
    if isinstance(cost, list):
        return min(Fraction(part) for part in cost[wanted][low : high + 1])
    return gap if cost is None else Fraction(cost) * (gap * one.step if one.kind == "number" else gap > 0)


def _totality(rules: Rules, plain: Mapping[str, Any]) -> None:
    """In every state of the declared domain, whatever is remembered in it, one of the witnesses breaks no rule."""
    if not rules.covered(rules.whole["state"], [rules.box_of("action", one) for one in plain["witnesses"]]):
        _refuse("expected a safe witness in every state, got a state without")


RANGES: Mapping[str, Callable[[Sequence[Any], Sequence[Any]], Numbers]] = {  # operations on ranges, exact at the ends
    "add": lambda lows, highs: (sum(lows), sum(highs)),
    "subtract": lambda lows, highs: (lows[0] - highs[1], highs[0] - lows[1]),
    "negate": lambda lows, highs: (-highs[0], -lows[0]),
    "minimum": lambda lows, highs: (min(lows), min(highs)),
    "maximum": lambda lows, highs: (max(lows), max(highs)),
    "absolute": lambda lows, highs: (max(0, lows[0], -highs[0]), max(-lows[0], highs[0])),
}


def _computed(op: str, parts: list[Numbers]) -> Numbers:
    if op in RANGES:
        return RANGES[op](*zip(*parts, strict=True))
    (low, high), ends = parts[-1], [(one, other) for one in parts[0] for other in parts[-1]]
    if op != "multiply" and (op not in ("floor_divide", "modulo") or low <= 0 <= high):
        _refuse(f"expected a known operation, and a divisor that is never 0, got `{op:.40}`")
    found = [one * other if op == "multiply" else one // other for one, other in ends]
    if op != "modulo":
        return min(found), max(found)
    rests = [one - other * found[0] for one, other in ends]
    return (min(rests), max(rests)) if len(set(found)) == 1 else (min(0, low), max(0, high))


def _fields(node: Any) -> Iterator[Key]:
    """Fields of the state that a condition reads."""
    yield from [("state", node[2])] if node[:2] == ["read", "state"] else []
    for part in node[1:]:
        yield from _fields(part) if isinstance(part, list) else ()


def _plain(node: Any, slots: Mapping[str, int]) -> Any:
    """A condition with its quantifiers written out: for each slot, what is said of a neighbour, where there is one."""
    if not isinstance(node, list) or node[0] not in ("all", "any", "count"):
        return [_plain(part, slots) for part in node] if isinstance(node, list) else node
    (op, others, name, body), parts = node, []
    for slot in (f"{others}_{place}_" for place in range(1, slots[others] + 1)):
        text = json.dumps(body, ensure_ascii=False).replace(f'["read", "{name}", "', f'["read", "state", "{slot}')
        own = _plain(json.loads(text), slots)
        parts.append(["implies" if op == "all" else "and", ["read", "state", f"{slot}present"], own])
    told = [["choose", part, ["number", "1"], ["number", "0"]] if op == "count" else part for part in parts]
    return told[0] if len(told) == 1 else [{"all": "and", "any": "or", "count": "add"}[op], *told]


def _recalled(node: Any, fields: dict[Key, Field]) -> Any:
    """A condition with each past-time operator read as the field that remembers it, which is declared here."""
    plain = [_recalled(part, fields) for part in node] if isinstance(node, list) else node
    if not isinstance(node, list) or node[0] not in ("past", "remaining"):
        return plain
    sort, high, step = ("flag", Fraction(1), "1") if node[0] == "past" else ("number", Fraction(node[1]), node[2])
    digits = hashlib.sha256(json.dumps(node, separators=(",", ":")).encode()).hexdigest()[:8]
    name, low = (f"{node[1]}_{digits}", 0) if sort == "flag" else (f"remaining_s_{digits}", -1)
    fields["state", name] = Field(name, sort, low, int(high / Fraction(step)), Fraction(step), [])
    return ["read", "state", name]


def _decided(is_sure: bool, is_excluded: bool) -> int:
    return YES if is_sure else NO if is_excluded else EITHER


def _parsed(text: str) -> dict[str, Any]:
    """Canonical JSON: sorted keys, no blanks; so that one content has one text and one hash."""
    plain: dict[str, Any] = json.loads(text)
    if not isinstance(plain, dict) or json.dumps(plain, sort_keys=True, separators=(",", ":")) != text:
        _refuse(f"expected canonical JSON, got `{text!r:.60}`")
    return plain


def _refuse(why: str) -> NoReturn:
    raise RefusedError(why)
