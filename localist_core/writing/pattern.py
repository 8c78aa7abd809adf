"""Regular expressions of strings that a grammar can hold exactly: a plain subset, from `^` to `$`; no torch.

Only characters that JSON writes as they are can appear (ASCII from space to `~` without quote and backslash, and
letters beyond ASCII that the pattern names), so the text in the grammar is the string itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never

from localist_core.errors import SchemaError

SAFE: Final = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in '"\\')
"""Characters that stand for themselves in JSON and mean the same to every engine's classes."""

CLASS: Final = re.compile(r"\[\^?\]?(?:[^\]\\\[]|\\.)*\]")
QUANTIFIER: Final = re.compile(r"[*+?]|\{(\d+)(,(\d*))?\}")
ESCAPES: Final = frozenset("dDwWsS")
"""Classes by letter; every other letter behind a backslash is refused."""
SET_OPERATORS: Final = ("&&", "--", "~~", "||")
"""Inside a class these are letters to some engines and operators to others."""


@dataclass(frozen=True, slots=True)
class Atom:
    """One character of these."""

    characters: str


@dataclass(frozen=True, slots=True)
class Repeat:
    """Something so many times."""

    part: Part
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Sequence:
    """One thing after another."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of several."""

    parts: tuple[Part, ...]


Part: TypeAlias = Atom | Repeat | Sequence | Either


@dataclass(frozen=True, slots=True)
class Pattern:
    """A string that a regular expression matches as a whole."""

    source: str
    """As written in the schema."""
    part: Part

    def matches(self, value: str) -> bool:
        """Whether the string is one."""
        return re.search(self.source, value) is not None and value.isprintable()


def pattern_of(source: str) -> Pattern:
    """Read a regular expression.

    Raises:
        SchemaError: one outside the subset: not from `^` to `$`, or with look-around, back references, lazy or
            possessive repetition, flags, word boundaries, or an empty class.
    """
    try:
        part = _Reader(source).whole()
        re.compile(source)
    except re.error as error:
        raise SchemaError(f"expected a regular expression, got `{source}` ({error})") from error
    return Pattern(source, part)


class _Reader:
    """Reads from left to right; `at` is the next character."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0

    def whole(self) -> Part:
        if not (self.source.startswith("^") and self.source.endswith("$") and len(self.source) >= 2):
            raise self.refusal("one that is not bound to both ends by `^` and `$`")
        self.at = 1
        part = self.sequence()
        if self.at != len(self.source) - 1:
            raise self.refusal("an alternative outside a group, which `^` and `$` do not bind")
        return part

    def either(self) -> Part:
        parts = [self.sequence()]
        while self.peek() == "|":
            self.at += 1
            parts.append(self.sequence())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def sequence(self) -> Part:
        parts: list[Part] = []
        while self.peek() not in ("|", ")", "$", ""):
            parts.append(self.repeated(self.single()))
        return Sequence(tuple(parts))

    def single(self) -> Part:
        character = self.peek()
        if character == "(":
            return self.group()
        if character == "[":
            found = CLASS.match(self.source, self.at)
            if found is None or any(operator in found.group() for operator in SET_OPERATORS):
                raise self.refusal("a class that holds another or an operator")
            return self.atom(found.group())
        if character == "\\":
            return self.atom(self.source[self.at : self.at + 2])
        if character in "^*+?{":
            raise self.refusal(f"`{character}`")
        return self.atom(character)

    def group(self) -> Part:
        self.at += 1
        if self.peek() == "?":
            if not self.source.startswith("?:", self.at):
                raise self.refusal("a group with `(?`")
            self.at += 2
        part = self.either()
        if self.peek() != ")":
            raise self.refusal("`$` inside a group")
        self.at += 1
        return part

    def atom(self, source: str) -> Part:
        """A single character or class: which characters it allows is asked of `re` itself."""
        letters = re.findall(r"\\(.)", source)
        if any(letter.isalnum() and letter not in ESCAPES for letter in letters):
            raise self.refusal(f"`{source}`")
        named = "".join(c for c in source if ord(c) > 0x7E) if not source.startswith("[^") else ""
        # Classes such as \d mean more letters to some engines than to others: those beyond ASCII are left out.
        characters = "".join(c for c in SAFE + named if c.isprintable() and re.fullmatch(source, c, re.ASCII))
        if not characters:
            raise self.refusal(f"`{source}`, which JSON writes otherwise")
        self.at += len(source)
        return Atom("".join(dict.fromkeys(characters)))

    def repeated(self, part: Part) -> Part:
        found = QUANTIFIER.match(self.source, self.at)
        if found is None:
            return part
        if _may_be_empty(part):
            raise self.refusal("a repetition of what may be empty")  # the grammar library slows down with each of them
        self.at = found.end()
        if self.peek() in ("?", "+", "*", "{"):
            raise self.refusal("a repetition of a repetition, lazy or possessive ones included")
        least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(found.group(), (0, 0))
        if found.group().startswith("{"):
            least = int(found.group(1))
            most = least if found.group(2) is None else int(found.group(3)) if found.group(3) else None
        return Repeat(part, least, most)

    def peek(self) -> str:
        return self.source[self.at : self.at + 1]

    def refusal(self, what: str) -> SchemaError:
        return SchemaError(
            f"expected a pattern of groups, classes and repetitions from `^` to `$`, got {what} in `{self.source}`"
        )


def _may_be_empty(part: Part) -> bool:
    match part:
        case Atom():
            return False
        case Repeat():
            return part.least == 0 or _may_be_empty(part.part)
        case Sequence():
            return all(map(_may_be_empty, part.parts))
        case Either():
            return any(map(_may_be_empty, part.parts))
        case _:
            assert_never(part)
