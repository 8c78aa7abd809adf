"""What was done to the rules of a set: added, removed, renamed, re-ranked, changed; read off the declarations alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from symbolic.canonical import to_json
from symbolic.declaration import Declaration
from symbolic.domain import domain_of
from symbolic.reloading.difference import Change, Edit
from symbolic.writing.text import Name, expression_text, namer

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

PARTS = tuple(field.name for field in fields(Declaration) if field.name not in ("name", "priority"))
"""What a rule is made of besides its name and rank."""


def edits(old: RuleSet[Any, Any], new: RuleSet[Any, Any]) -> tuple[Edit, ...]:
    """All edits in order of the rules' names; permits are rules here too."""
    was, now = declared(old), declared(new)
    moved = _renamed(was, now)
    names = namer(domain_of(new.state), domain_of(new.action))
    found = [Edit(change=Change.REMOVED, rule=name) for name in was.keys() - now.keys() - moved.keys()]
    found += [Edit(change=Change.ADDED, rule=name) for name in now.keys() - was.keys() - set(moved.values())]
    found += [Edit(change=Change.RENAMED, rule=after, was=before, now=after) for before, after in moved.items()]
    for before in was:
        after = moved.get(before, before)
        if after in now:
            found += _within(was[before], now[after], names)
    return tuple(sorted(found, key=lambda edit: (edit.rule, edit.change.value)))


def declared(rules: RuleSet[Any, Any]) -> dict[str, Declaration]:
    """All that a set declares, permits included, by name."""
    return {one.name: one for one in (*(rule.declared for rule in rules.rules), *rules.permits)}


def _renamed(was: dict[str, Declaration], now: dict[str, Declaration]) -> dict[str, str]:
    """Old name -> new name of rules that say the same under another name; first come, first served by name."""
    free = {name: _essence(now[name]) for name in sorted(now.keys() - was.keys())}
    moved: dict[str, str] = {}
    for name in sorted(was.keys() - now.keys()):
        after = next((other for other, essence in free.items() if essence == _essence(was[name])), None)
        if after is not None:
            moved[name] = after
            del free[after]
    return moved


def _essence(rule: Declaration) -> tuple[str, str]:
    return rule.kind, to_json(rule.expression)


def _within(was: Declaration, now: Declaration, names: Name) -> Iterator[Edit]:
    """What is different between two versions of one rule."""
    if was.priority != now.priority:
        yield Edit(change=Change.RERANKED, rule=now.name, was=str(was.priority), now=str(now.priority))
    parts = tuple(part for part in PARTS if _part(was, part, names) != _part(now, part, names))
    if parts:
        before, after = ("; ".join(_part(rule, part, names) for part in parts) for rule in (was, now))
        yield Edit(change=Change.CHANGED, rule=now.name, parts=parts, was=before, now=after)


def _part(rule: Declaration, part: str, names: Name) -> str:
    """One part as text; a title that only repeats the name is none, so that a renaming changes no title."""
    match part:
        case "expression":
            return expression_text(rule.expression, names)
        case "title":
            return "" if rule.title == rule.name.replace("_", " ") else rule.title
        case _:
            value = getattr(rule, part)
            return ", ".join(value) if isinstance(value, tuple) else str(value)
