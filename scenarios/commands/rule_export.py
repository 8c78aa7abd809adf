"""`localist rules smt`: a question about a rule set as SMT-LIB 2, for a second solver."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from scenarios.commands.arguments import Exit
from scenarios.commands.rule_files import FORMS, rule_set

if TYPE_CHECKING:
    from scenarios.commands.arguments import Commands


def add(actions: Commands) -> None:
    """Declare the command."""
    smt = actions.add_parser("smt", help="a question about the rules as SMT-LIB 2, with the answer that was found here")
    smt.add_argument("rules", metavar="RULES", help=FORMS)
    smt.add_argument("--role", help="of a scenario with several")
    smt.add_argument(
        "--question",
        default="totality",
        metavar="NAME",
        help="consistency, totality (default), rule:R1, alone:R1 or together:R1,R2",
    )
    smt.set_defaults(command=_smt)


def _smt(arguments: argparse.Namespace) -> Exit:
    from symbolic import to_smtlib

    ruleset, _ = rule_set(arguments.rules, arguments.role)
    print(to_smtlib(ruleset, arguments.question), end="")
    return Exit.PASS
