"""Rule sets as a user names them: a shipped scenario, a scenario file, a rules file, canonical JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scenarios.config import ConfigError

if TYPE_CHECKING:
    from symbolic import Action, Facts, RuleSet, State

FORMS: Final = "shipped scenario, scenario file, rules file (*.rules) or canonical JSON (*.json)"
"""What a user may name, for help texts."""


def rule_sets(name: str) -> dict[str, tuple[RuleSet[Any, Any], Action | None]]:
    """The rule sets of a scenario by role, each with its safe stop; or that of a file, under the file's name."""
    from scenarios.scenario import load
    from symbolic import load_rules, parse

    path = Path(name)
    if path.suffix == ".rules":
        return {path.stem: (parse(text_of(path), place=path.name), None)}
    if path.suffix == ".json":
        return {path.stem: (load_rules(text_of(path)), None)}
    return {role: (one.rules, one.safe_stop) for role, one in sorted(load(name).roles.items())}


def facts_of(state: type[State], text: str) -> Facts:
    """Facts from JSON: values by name, or what `Facts.to_json` wrote.

    Raises:
        ConfigError: other text.
        DomainError: values that are none of the state.
    """
    from symbolic import Facts

    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise ConfigError(f'expected a state as a JSON object, got `{text:.60}`; write {{"NAME": VALUE, ...}}')
    if values.keys() == {"age_s", "fields", "schema", "version"}:
        return Facts.from_json(text, state)
    return Facts.from_values(state, values)


def text_of(path: Path) -> str:
    """The text of a rules file.

    Raises:
        ConfigError: there is none.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"expected a rules file at `{path}`, got {type(error).__name__}; correct the path") from error


def rule_set(name: str, role: str | None) -> tuple[RuleSet[Any, Any], Action | None]:
    """One rule set with its safe stop; of a scenario with several roles that of the named one.

    Raises:
        ConfigError: no such role, or several and none named.
    """
    found = rule_sets(name)
    if len(found) == 1 and (role is None or name.endswith((".rules", ".json"))):
        return next(iter(found.values()))
    if role is None or role not in found:
        got = "none" if role is None else f"`{role}`"
        raise ConfigError(f"expected a role among {', '.join(found)} of `{name}`, got {got}; give --role")
    return found[role]
