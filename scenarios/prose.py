"""Paragraphs of prose in reStructuredText, each with the headings above it; code, lists, tables and markup left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

LEAST_WORDS = 12
"""Shorter chunks are mostly no prose."""

_UNDERLINE = re.compile(r"([=\-~^\"'*#+.`])\1{2,}$")
_ROLE = re.compile(r":[\w:+.-]+:`([^`]*)`")
_LINK = re.compile(r"`([^`<]*?)\s*(?:<[^>]*>)?`_{1,2}")
_TITLED = re.compile(r"\s*<[^>]*>$")
_WORD = re.compile(r"[A-Za-z][a-z']*,?$")


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One paragraph as plain text on one line."""

    text: str
    headings: tuple[str, ...]
    """Title of the document, of the section, ..., the nearest last."""


def paragraphs(source: str) -> Iterator[Paragraph]:
    """The paragraphs of a document, in order."""
    headings: dict[str, str] = {}  # underline -> title, outermost first
    for chunk in re.split(r"\n\s*\n", source):
        lines = chunk.strip("\n").split("\n")
        title = _title(lines)
        if title is not None:
            style, text = title
            kept = list(headings)
            for inner in kept[kept.index(style) :] if style in headings else []:
                del headings[inner]
            headings[style] = text
        elif _is_prose(lines):
            yield Paragraph(plain(" ".join(line.strip() for line in lines)), tuple(headings.values()))


def _title(lines: list[str]) -> tuple[str, str] | None:
    """Style and text of a heading; a line above the title makes another style than one below it alone."""
    if len(lines) == 3 and _UNDERLINE.match(lines[0]) and lines[0] == lines[2]:
        return lines[0][0] * 2, plain(lines[1].strip())
    if len(lines) == 2 and _UNDERLINE.match(lines[1]) and not lines[0].startswith(" "):
        return lines[1][0], plain(lines[0].strip())
    return None


def _is_prose(lines: list[str]) -> bool:
    """Whole sentences, mostly of words: starts with a capital, ends with a stop, is no markup."""
    first, text = lines[0].strip(), " ".join(lines)
    words = text.split()
    if len(words) < LEAST_WORDS or not (first[:1].isupper() or first[:2] in (":c", ":m", ":f", ":k", "``")):
        return False
    if not text.rstrip().endswith((".", ":", "!", "?", ".)")) or ">>>" in text or " = " in text or "---" in text:
        return False
    indents = {len(line) - len(line.lstrip()) for line in lines}
    return len(indents) == 1 and sum(bool(_WORD.match(word.strip("(\"'.,;:)"))) for word in words) >= 0.6 * len(words)


def plain(text: str) -> str:
    """Text without inline markup: roles, links, emphasis, code quotes."""
    text = _ROLE.sub(lambda found: _TITLED.sub("", found[1]).lstrip("~!"), text)
    text = _LINK.sub(r"\1", text)
    text = text.replace("``", "").replace("\\ ", "").replace("::", ":")
    return " ".join(re.sub(r"(?<!\w)\*{1,2}([^*]+)\*{1,2}(?!\w)", r"\1", text).split())
