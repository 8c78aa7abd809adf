"""`localist rules explain`: why an action is not allowed in a state, and what would have to differ."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from scenarios.commands.arguments import Exit, json_argument, print_json
from scenarios.commands.rule_files import FORMS, facts_of, rule_set
from scenarios.config import ConfigError

if TYPE_CHECKING:
    from scenarios.commands.arguments import Commands
    from symbolic import Action, Explanation, RuleSet


def add(actions: Commands) -> None:
    """Declare the command."""
    explain = actions.add_parser(
        "explain", help="why an action is not allowed in a state, and what would have to differ"
    )
    explain.add_argument("rules", metavar="RULES", help=FORMS)
    explain.add_argument("--role", help="of a scenario with several")
    explain.add_argument(
        "--state", required=True, metavar="JSON",
        help="values by name, null where unknown, [low, high] for an interval; or facts as they are recorded",
    )  # fmt: skip
    explain.add_argument("--action", metavar="JSON", help="values by name (default: every action in a line)")
    json_argument(explain)
    explain.set_defaults(command=_explain)


def _explain(arguments: argparse.Namespace) -> Exit:
    from symbolic import explain, explanation_text

    ruleset, _ = rule_set(arguments.rules, arguments.role)
    facts = facts_of(ruleset.state, arguments.state)
    if arguments.action is not None:
        why = explain(ruleset, facts, _action(ruleset, arguments.action))
        print_json(json.loads(why.to_json())) if arguments.json else print(explanation_text(why))
        return _exit(why)
    every = [explain(ruleset, facts, action, is_state_asked=False) for action in ruleset.actions]
    if arguments.json:
        print_json([json.loads(one.to_json()) for one in every])
    else:
        print("\n".join(_line(action, one) for action, one in zip(ruleset.actions, every, strict=True)))
    return min(map(_exit, every))


def _action(ruleset: RuleSet[Any, Any], text: str) -> Action:
    """An action from JSON, validated."""
    from pydantic import ValidationError

    from symbolic import Action

    try:
        found = ruleset.action.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise ConfigError(
            f"expected an action of `{ruleset.action.__name__}` as JSON, got `{text:.60}` ({place}: {first['msg']}); "
            'write {"NAME": VALUE, ...}'
        ) from None
    assert isinstance(found, Action), "the type of a rule set's actions"
    return found


def _line(action: Action, why: Explanation) -> str:
    """One action: allowed, or by which rules not, with margins."""
    from symbolic.explaining.wording import action_text

    verdict = why.verdict
    if verdict.is_safe:
        return f"{action_text(action)}: allowed"
    broken = ", ".join(
        one.rule if one.margin is None else f"{one.rule} ({one.margin.text})" for one in verdict.violations
    )
    return f"{action_text(action)}: {f'breaks {broken}' if broken else f'undecided: {verdict.reason}'}"


def _exit(why: Explanation) -> Exit:
    """0 allowed, 1 not allowed, 3 not decided; of several actions 0 if one is allowed."""
    if why.verdict.is_safe:
        return Exit.PASS
    return Exit.FAILED if why.verdict.violations else Exit.INCONCLUSIVE
