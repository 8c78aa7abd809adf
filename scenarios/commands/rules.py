"""`localist rules`: rules files in their canonical layout, what a change of rules does, and stores of versions."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scenarios.commands import rule_explanation, rule_export, rule_store
from scenarios.commands.arguments import Exit, json_argument, print_json
from scenarios.commands.rule_files import FORMS, facts_of, rule_set, rule_sets, text_of
from scenarios.config import ConfigError

if TYPE_CHECKING:
    from scenarios.commands.arguments import Commands
    from symbolic import Difference


def add(commands: Commands) -> None:
    """Declare the commands."""
    rules = commands.add_parser(
        "rules", help="rules files and stores: fmt, actions, explain, smt, diff, propose, activate, rollback, versions"
    )
    actions = rules.add_subparsers(required=True, metavar="ACTION", parser_class=type(rules))
    fmt = actions.add_parser("fmt", help="bring rules files that declare their types into the canonical layout")
    fmt.add_argument("files", nargs="+", type=Path, metavar="FILE", help="rules files, by custom named *.rules")
    fmt.add_argument("--check", action="store_true", help="write nothing; exit code 1 where a file would change")
    fmt.set_defaults(command=_fmt)
    may = actions.add_parser(
        "actions", help="what complies in one state, as a JSON Schema or as a grammar for a writer"
    )
    may.add_argument("rules", metavar="RULES", help=FORMS)
    may.add_argument("--role", help="of a scenario with several")
    may.add_argument(
        "--state", required=True, metavar="JSON",
        help="values by name, null where unknown, [low, high] for an interval; or facts as they are recorded",
    )  # fmt: skip
    may.add_argument("--grammar", action="store_true", help="GBNF of the canonical JSON texts instead of a JSON Schema")
    may.set_defaults(command=_actions)
    diff = actions.add_parser(
        "diff", help="what a change allows and forbids: stricter, looser, equal or incomparable, by proof"
    )
    for name, help_ in (("old", "the rules in use"), ("new", "the rules to be")):
        diff.add_argument(name, metavar=name.upper(), help=f"{help_}: {FORMS}")
    json_argument(diff)
    diff.set_defaults(command=_diff)
    rule_explanation.add(actions)
    rule_export.add(actions)
    rule_store.add(actions)


def _fmt(arguments: argparse.Namespace) -> Exit:
    from symbolic.writing.formatter import formatted

    texts = {path: text_of(path) for path in arguments.files}
    changed = {path: new for path, old in texts.items() if (new := formatted(old, place=path.name)) != old}
    for path, text in changed.items():
        if not arguments.check:
            path.write_text(text, encoding="utf-8")
        print(f"{'would change' if arguments.check else 'changed'}: {path}")
    return Exit.FAILED if arguments.check and changed else Exit.PASS


def _actions(arguments: argparse.Namespace) -> Exit:
    from symbolic import NoActionError, grammar, json_schema

    ruleset, _ = rule_set(arguments.rules, arguments.role)
    facts = facts_of(ruleset.state, arguments.state)
    try:
        if arguments.grammar:
            print(grammar(ruleset, facts), end="")
        else:
            print_json(json_schema(ruleset, facts))
    except NoActionError as error:
        raise ConfigError(str(error)) from None
    return Exit.PASS


def _diff(arguments: argparse.Namespace) -> Exit:
    from scenarios.report.difference import differences
    from scenarios.report.table import print_rich
    from symbolic import diff

    old, new = rule_sets(arguments.old), rule_sets(arguments.new)
    if len(old) == len(new) == 1:
        new = dict(zip(old, new.values(), strict=True))
    if old.keys() != new.keys():
        roles = [", ".join(f"`{role}`" for role in one) for one in (old, new)]
        raise ConfigError(f"expected rules of the same roles, got {roles[0]} and {roles[1]}; compare like with like")
    found = {role: diff(old[role][0], new[role][0]) for role in old}
    if arguments.json:
        print_json({"roles": {role: one.record() for role, one in found.items()}})
    else:
        print_rich(differences(found))
    return verdict_of(list(found.values()))


def verdict_of(found: list[Difference]) -> Exit:
    """What the shell is told: 0 nothing differs, 1 something does, 3 that is not known."""
    relations = {one.relation.value for one in found}
    if relations - {"equal", "unknown"}:
        return Exit.FAILED
    return Exit.INCONCLUSIVE if "unknown" in relations else Exit.PASS
