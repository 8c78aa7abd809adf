"""Explanations in words: sentences for a prompt, and a text for people.

Sentences hold what is generated from rules, facts and actions alone; titles and sources are for people.
"""

from __future__ import annotations

from collections.abc import Iterator

from symbolic.domain import Action, codes_of, domain_of
from symbolic.explaining.explanation import Change, Explanation
from symbolic.verdict import Violation


def sentences(why: Explanation) -> tuple[str, ...]:
    """What a prompt may be told, one sentence each; nothing where the action complies or nothing was decided."""
    return tuple(_sentences(why))


def _sentences(why: Explanation) -> Iterator[str]:
    for one in why.verdict.violations:
        yield f"{one.rule}: {one.sentence} Here {_here(one)}.{_broken(one)}"
    if why.nearest is not None:
        yield f"The nearest allowed action has {_changes(why.nearest.changes)}."
    if why.conflict is not None:
        yield f"No action is allowed: {_and(why.conflict.rules)} together forbid every one."
    if why.concession is not None:
        yield f"The least is given up with {action_text(why.concession.actions[0])}: {why.concession.reason}."
    if why.state is not None:
        yield from _state(why)


def text(why: Explanation) -> str:
    """The same for people, a line each, with titles and sources, and the ways of single fields."""
    verdict = why.verdict
    if verdict.action is None or not verdict.violations:
        reason = f": {verdict.reason}" if verdict.reason else ""
        return f"{verdict.outcome}{reason}"
    titles = {
        one.rule: one.title.rstrip(".") + (f" ({one.source})" if one.source else "") for one in verdict.violations
    }
    lines = [f"{action_text(verdict.action)} is not allowed."]
    for line in sentences(why):
        rule = line.partition(":")[0]
        lines.append(f"- {line}{f' It is called: {titles[rule]}.' if rule in titles else ''}")
    told = () if why.state is None else why.state.changes
    others = (fix for fix in why.by_field if fix.changes != told)
    lines += [f"- With {_changes(fix.changes)} alone it would be allowed." for fix in others]
    if why.conflict is not None:
        lines += [f"- {action_text(action)}: {rule} forbids it." for action, rule in why.conflict.forbidden]
    return "\n".join(lines)


def action_text(action: Action) -> str:
    """An action in words: `valve 0.5, hold true`."""
    fields, codes = domain_of(type(action)).fields, codes_of(action)
    return ", ".join(f"{one.name} {one.show(code)}" for one, code in zip(fields, codes, strict=True))


def _here(one: Violation) -> str:
    return _and([f"{name} is {value}" for name, value in one.numbers])


def _broken(one: Violation) -> str:
    """By how much, and in which of the states that the facts allow."""
    state = ""
    if one.counterexample is not None:
        read = {name for name, _ in one.numbers}
        facts = one.counterexample.facts
        fields = [field for field in domain_of(facts.schema).fields if field.name in read]
        state = f" where {_and([f'{field.name} is {facts.show(field)}' for field in fields])}" if fields else ""
    if one.margin is None:
        return f" That may be broken{state}." if state else ""
    return f" Broken{state}: {one.margin.text}."


def _state(why: Explanation) -> Iterator[str]:
    state = why.state
    assert state is not None, "asked for"
    if state.changes:
        small = "" if state.is_smallest else ", if not with less"
        yield f"This action would be allowed with {_changes(state.changes)}{small}."
    elif state.facts is None and state.is_smallest:
        yield "This action is not allowed in any state."


def _changes(changes: tuple[Change, ...]) -> str:
    return _and([f"{one.field} {one.then} instead of {one.now}" for one in changes])


def _and(parts: tuple[str, ...] | list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)
