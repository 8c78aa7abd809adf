"""From shapes to the text of a grammar (the EBNF that xgrammar reads): JSON on one line, without blanks; no torch.

Why not the library's own reading of JSON Schema: it drops what it cannot hold with no more than a line on stderr, and
some of what it keeps is wrong (DESIGN.md lists what was found). Here shapes are translated one by one, and tests hold
random texts of the grammar against `shapes.accepts`, jsonschema and pydantic.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import assert_never

from localist_core.writing.pattern import Atom, Either, Part, Pattern, Repeat, Sequence
from localist_core.writing.schema import Schema
from localist_core.writing.shapes import Field, Fixed, Items, Named, Number, Record, Shape, Text, Union

CHARACTERS = r"[\x20-\x21\x23-\x5B\x5D-\x7E\u00A0-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]"
"""What free text holds: what JSON writes as it is. Said as ranges, for the library's `[^...]` lets halves of surrogate
pairs through; without escapes, for a class alone is repeated 80 times faster than a class or an escape."""
CHUNK = 8
"""Most repetitions that the library counts: in a longer count it allows tokens that it then refuses."""
POINT = '"." '


def grammar_of(schema: Schema) -> str:
    """The grammar of the JSON texts of a schema, with the start symbol `root`."""
    return _Writer(schema).whole()


def literals(schema: Schema) -> frozenset[str]:
    """Every text that a tokenizer must be able to spell: names of fields, constants, and what holds them together."""
    found: set[str] = set()
    shapes = [schema.root, *schema.definitions.values()]
    while shapes:
        match shapes.pop():
            case Fixed(texts):
                found |= set(texts)
            case Items() as items:
                found |= {"[", "]", ","}
                shapes += [*items.prefix, *([items.rest] if items.rest is not None else [])]
            case Record(fields):
                found |= {"{", "}", ":", *([","] if len(fields) > 1 else [])}
                found |= {json.dumps(field.name, ensure_ascii=False) for field in fields}
                shapes += [field.shape for field in fields]
            case Union(parts):
                shapes += parts
            case Text() | Pattern():
                found.add('"')
            case Number() | Named():
                pass
    return frozenset(found)


class _Writer:
    """Writes one rule for each shape; equal shapes share it."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.names: dict[Shape, str] = {}
        self.rules: list[str] = []

    def whole(self) -> str:
        root = self.of(self.schema.root)
        return "\n".join([f"root ::= {root}", *self.rules]) + "\n"

    def of(self, shape: Shape) -> str:
        """The name of the shape's rule."""
        if isinstance(shape, Named):
            shape = self.schema.definitions[shape.name]
            if isinstance(shape, Named):
                return self.of(shape)
        if shape not in self.names:
            name = self.names[shape] = f"r{len(self.names)}"
            self.rule(name, self.body(shape, name))
        return self.names[shape]

    def rule(self, name: str, body: str) -> str:
        self.rules.append(f"{name} ::= {body}")
        return name

    def body(self, shape: Shape, name: str) -> str:
        match shape:
            case Number():
                return number(shape.low, shape.high, shape.decimals)
            case Text():
                return f'"\\"" {self.counted(CHARACTERS, shape.least, shape.most)} "\\""'
            case Pattern():
                return f'"\\"" {self.part(shape.part)} "\\""'
            case Fixed():
                return " | ".join(literal(text) for text in shape.texts)
            case Items():
                return self.items(shape, name)
            case Record():
                return self.record(shape.fields, name)
            case Union():
                return " | ".join(self.of(one) for one in shape.shapes)
            case Named():
                return self.of(shape)
            case _:
                assert_never(shape)

    def part(self, part: Part) -> str:
        """A regular expression."""
        match part:
            case Atom():
                return f"[{''.join(map(_in_class, part.characters))}]"
            case Repeat(Atom() as atom):
                return self.counted(self.part(atom), part.least, part.most)
            case Repeat():
                return f"({self.part(part.part)}){_times(part.least, part.most)}"
            case Sequence():
                return f"({' '.join(map(self.part, part.parts))})" if part.parts else '""'
            case Either():
                return f"({' | '.join(map(self.part, part.parts))})"
            case _:
                assert_never(part)

    def counted(self, unit: str, least: int, most: int | None) -> str:
        """So many times one of a class, in chunks: each says whether it is the last."""
        first = [f"{unit}{{{CHUNK}}}"] * (least // CHUNK) + [f"{unit}{{{least % CHUNK}}}"] * (least % CHUNK > 0)
        if most is None:
            return " ".join([*first, f"{unit}*"])
        rest = f"{unit}{{0,{(most - least) % CHUNK}}}"
        for _ in range((most - least) // CHUNK):
            rest = self.rule(f"chunk{len(self.rules)}", f"{unit}{{0,{CHUNK - 1}}} | {unit}{{{CHUNK}}} {rest}")
        return " ".join([*first, rest])

    def items(self, shape: Items, name: str) -> str:
        """`[`, the elements, `]`; a rule for each place of the prefix: what may stand from there on."""
        place = min(len(shape.prefix), len(shape.prefix) if shape.most is None else shape.most)
        tail = self.further(shape, place)
        for n in reversed(range(1, place)):
            tail = self.rule(f"{name}p{n}", _optional(f'"," {self.of(shape.prefix[n])} {tail}', n >= shape.least))
        if place > 0:
            inner = f"{self.of(shape.prefix[0])} {tail}"
        elif shape.rest is None or shape.most == 0:
            return literal("[]")
        else:
            most = None if shape.most is None else shape.most - 1
            inner = f'{self.of(shape.rest)} ("," {self.of(shape.rest)}){_times(max(shape.least - 1, 0), most)}'
        return f'"[" {_optional(inner, shape.least == 0)} "]"'

    def further(self, shape: Items, place: int) -> str:
        """The elements behind the prefix."""
        if shape.rest is None or place == 0 or shape.most == place:
            return '""'
        most = None if shape.most is None else shape.most - place
        return f'("," {self.of(shape.rest)}){_times(max(shape.least - place, 0), most)}'

    def record(self, fields: tuple[Field, ...], name: str) -> str:
        """`{`, the fields in order, `}`; of each place two rules: no field stands before it yet, or some does."""
        first, later = '""', '""'
        for n, field in reversed(list(enumerate(fields))):
            pair = f"{literal(json.dumps(field.name, ensure_ascii=False) + ':')} {self.of(field.shape)} {later}"
            skipped = "" if field.is_required else f" | {first}"
            follows = "" if field.is_required else f" | {later}"
            first, later = self.rule(f"{name}f{n}", pair + skipped), self.rule(f"{name}l{n}", f'"," {pair}{follows}')
        return f'"{{" {first} "}}"'


def number(low: int, high: int, decimals: int) -> str:
    """The texts of the numbers k / 10 ** decimals with low <= k <= high, with as many decimals or fewer.

    No sign before zero, no zeros in front, any behind.
    """
    parts = []
    if high >= 0:
        parts += _magnitudes(max(low, 0), high, decimals)
    if low < 0:
        parts.append(f'"-" ({" | ".join(_magnitudes(max(-high, 1), -low, decimals))})')
    return " | ".join(parts)


def literal(text: str) -> str:
    """A text as the grammar quotes it."""
    return '"' + "".join(_quoted(character) for character in text) + '"'


def _magnitudes(low: int, high: int, decimals: int) -> list[str]:
    """Alternatives for 0 <= low <= high, one for each number of digits before the point."""
    alternatives = []
    for whole in range(_whole_digits(low, decimals), _whole_digits(high, decimals) + 1):
        least = max(low, 10 ** (whole - 1 + decimals) if whole > 1 else 0)
        most = min(high, 10 ** (whole + decimals) - 1)
        digits = whole + decimals
        alternatives.append(_digits(str(least).zfill(digits), str(most).zfill(digits), whole))
    return alternatives


def _whole_digits(scaled: int, decimals: int) -> int:
    return len(str(scaled // 10**decimals))


def _digits(low: str, high: str, whole: int) -> str:
    """Digits between two bounds of equal length, of which `whole` stand before the point."""
    if whole == 0:
        return _tail(low, high, POINT)
    if _is_free(low, high):
        return f"{'[0-9] ' * whole}{_tail(low[whole:], high[whole:], POINT)}"
    return _choice(low, high, lambda below, above: _digits(below, above, whole - 1))


def _tail(low: str, high: str, mark: str) -> str:
    """The rest of the digits behind the point, or nothing where zeros will do; `mark` stands before them."""
    if not low:
        return '""'
    more = f"{mark}{_fraction(low, high)}"
    return f"({more})?" if set(low) == {"0"} else more


def _fraction(low: str, high: str) -> str:
    return _choice(low, high, lambda below, above: _tail(below, above, ""))


def _choice(low: str, high: str, rest: Callable[[str, str], str]) -> str:
    """The next digit: that of the lower bound, of the upper bound, or one between, with which all is free."""
    zeros, nines = "0" * (len(low) - 1), "9" * (len(low) - 1)
    if low[0] == high[0]:
        return f'"{low[0]}" {rest(low[1:], high[1:])}'
    first, last, parts = int(low[0]), int(high[0]), []
    if low[1:] != zeros:
        parts.append(f'"{first}" {rest(low[1:], nines)}')
        first += 1
    if high[1:] != nines:
        parts.append(f'"{last}" {rest(zeros, high[1:])}')
        last -= 1
    if first <= last:
        parts.append(f"[{first}-{last}] {rest(zeros, nines)}")
    return f"({' | '.join(parts)})"


def _is_free(low: str, high: str) -> bool:
    return set(low) <= {"0"} and set(high) <= {"9"}


def _times(least: int, most: int | None) -> str:
    return "*" if (least, most) == (0, None) else f"{{{least},{'' if most is None else most}}}"


def _optional(body: str, may_be_absent: bool) -> str:
    return f'(({body}) | "")' if may_be_absent else f"({body})"


def _quoted(character: str) -> str:
    code = ord(character)
    if character in '"\\':
        return f"\\{character}"
    if 0x20 <= code < 0x7F:
        return character
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


def _in_class(character: str) -> str:
    return character if character.isalnum() and character.isascii() else f"\\U{ord(character):08X}"
