"""Rule sets as canonical JSON, version 1: what is hashed, what travels, what is kept.

    {"action": {"fields": [...], "name": ...}, "rules": [...], "state": {...}, "version": 1}

A rule has expression, kind, name, priority, source and title, and where they are not as by default unless, overrides,
is_critical and trusts. Nothing in it is code.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, cast

from symbolic.canonical import to_plain
from symbolic.declaration import Declaration, RuleError
from symbolic.decoding import from_plain
from symbolic.domain import Action, State, domain_of
from symbolic.expression import ExpressionError

_KEYS: Final = frozenset({"expression", "kind", "name", "priority", "source", "title"})
_OPTIONAL: Final = frozenset({"unless", "overrides", "is_critical", "trusts"})
"""Written where they are not as by default."""


def written(state: type[State], action: type[Action], drafts: Sequence[Declaration]) -> str:
    """The canonical JSON of types and rules, in their order."""
    entries = [{"expression": to_plain(draft.expression), **draft.record()} for draft in drafts]
    record = {"action": _schema(action), "rules": entries, "state": _schema(state), "version": 1}
    return json.dumps(record, sort_keys=True, separators=(",", ":"))


def read(text: str, state: type[State], action: type[Action]) -> list[dict[str, Any]]:
    """The rules of a text as `RuleSet.add` takes them.

    Raises:
        RuleError: other text, another version, other types, or what is no rule.
    """
    try:
        record = cast(dict[str, Any], json.loads(text))
        version, schemas, entries = record["version"], (record["state"], record["action"]), record["rules"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RuleError("expected a rule set as JSON, got other text; give the text of to_json") from None
    if not isinstance(entries, list):
        raise RuleError(f"expected a list of rules, got `{entries!r:.40}`; give the text of to_json")
    if version != 1:
        raise RuleError(f"expected a rule set of version 1, got version `{version!r:.20}`; use its own version")
    if schemas != (_schema(state), _schema(action)):
        raise RuleError(
            f"expected rules over `{state.__name__}` and `{action.__name__}` as declared here, "
            "got other declarations; load it with its own types"
        )
    return [_entry(one, state, action) for one in entries]


def _entry(entry: object, state: type[State], action: type[Action]) -> dict[str, Any]:
    if not isinstance(entry, dict) or not _is_entry(entry):
        raise RuleError(
            f"expected a rule with {', '.join(sorted(_KEYS))}, got `{entry!r:.60}`; give the text of to_json"
        )
    try:
        return {**entry, "expression": from_plain(entry["expression"], state, action)}
    except ExpressionError as error:
        raise RuleError(f"rule `{entry['name']}`: {error}") from None


def _schema(schema: type[State] | type[Action]) -> dict[str, object]:
    domain = domain_of(schema)
    return {"fields": domain.record(), "name": schema.__name__, **domain.extras()}


def _is_entry(entry: dict[str, object]) -> bool:
    """Whether an entry has the keys of a rule, with texts and lists of texts where they belong."""
    lists = [entry[key] for key in ("unless", "overrides", "trusts") if key in entry]
    return (
        set(entry) >= _KEYS >= set(entry) - _OPTIONAL
        and all(isinstance(entry[key], str) for key in _KEYS - {"expression", "priority"})
        and all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in lists)
    )
