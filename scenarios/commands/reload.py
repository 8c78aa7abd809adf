"""`localist run --reload TICK[:ROLE]=RULES`: rules that change in the middle of a run, as a user names them."""

from __future__ import annotations

import re

from scenarios.commands.rule_files import rule_set
from scenarios.config import ConfigError, Reload


def reload_of(text: str, scenario: str) -> Reload:
    """The reload that a user asks for; the rules are read now, and travel as canonical JSON.

    Raises:
        ConfigError: another spelling, no rules there, or a role that is missing or not in the scenario.
    """
    from scenarios.scenario import load

    match = re.fullmatch(r"(\d{1,9})(?::([a-z0-9-]+))?=(.+)", text)
    if match is None:
        raise ConfigError(f"expected --reload TICK[:ROLE]=RULES, got `{text:.80}`; such as `5=stricter.rules`")
    roles = list(load(scenario).roles)
    role = match[2] or (roles[0] if len(roles) == 1 else "")
    if role not in roles:
        raise ConfigError(f"expected a role among {', '.join(roles)}, got `{role}`; write --reload TICK:ROLE=RULES")
    rules, _ = rule_set(match[3], match[2])
    return Reload(tick=int(match[1]), role=role, sha256=rules.sha256, text=rules.to_json())
