"""A rules file in its one canonical layout: the order of its items and its comments stay."""

from __future__ import annotations

from symbolic.declaration import RuleError
from symbolic.domain import Action, State, domain_of
from symbolic.writing.parsing import read
from symbolic.writing.text import joined, namer, rule_text, type_text


def formatted(
    text: str, *, state: type[State] | None = None, action: type[Action] | None = None, place: str = "rules"
) -> str:
    """The canonical layout of a text; formatting it again changes nothing. Arguments as `parsing.parse`.

    Raises:
        RuleError: text that is no rules file, or a comment inside a type or a rule, which would lose its place.
    """
    document = read(text, state=state, action=action, place=place)
    names = namer(domain_of(document.state), domain_of(document.action))
    items = [(one.line, one.end_line, type_text(one.schema, one.owner)) for one in document.types]
    for entry in document.entries:
        items.append((entry.line, entry.end_line, rule_text(entry.declared, names)))
    items.sort()
    for line, comment in document.comments:
        if any(first <= line <= last for first, last, _ in items):
            raise RuleError(
                f"{place}:{line}: expected comments above a rule or type, got `{comment:.40}` inside one; move it up"
            )
    above, parts = 0, []
    for first, last, body in items:
        parts.append(_lines(document.comments, above, first) + body)
        above = last
    tail = _lines(document.comments, above, text.count("\n") + 2)
    return joined([part for part in [*parts, tail] if part], ())


def _lines(comments: tuple[tuple[int, str], ...], above: int, below: int) -> str:
    return "".join(f"{comment.rstrip()}\n" for line, comment in comments if above < line < below)
