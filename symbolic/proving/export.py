"""Questions of the load-time report by name, as SMT-LIB 2 with the answer that was found, for a second solver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from symbolic.declaration import RuleError
from symbolic.expression import Expr
from symbolic.proving.census import Census
from symbolic.proving.prover import PROVING, Prover
from symbolic.solving.question import Point, Question, spans_of
from symbolic.solving.smt import Solver, shared_solver
from symbolic.solving.smtlib import Status, script

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

FORMS: Final = "consistency, totality, rule:R1, alone:R1 or together:R1,R2"
"""What can be asked."""


def to_smtlib(ruleset: RuleSet[Any, Any], name: str, *, solver: Solver | None = None) -> str:
    """One question as a script.

    Args:
        ruleset: the rules.
        name: `consistency` (is some action safe in some state? expected `sat`), `totality` (is there a state in which
            every action breaks a rule? expected `unsat`), `rule:R1` (can R1 be broken?), `alone:R1` (can it be broken
            where no other is? `unsat` where it is redundant), `together:R1,R2` (is there a state in which every action
            breaks one of these?).
        solver: finds the expected answer.

    Raises:
        RuleError: no such question or rule.
    """
    prover = Prover(ruleset, Census(), solver or shared_solver(PROVING), assumption=ruleset.assumption)
    title, conditions = _question(prover, name)
    labels = (*("assumption" for _ in prover.assumption), *conditions)
    wanted = (*prover.assumption, *conditions.values())
    question = Question(prover.state, prover.action, wanted, spans_of(prover.state))
    answer = prover.ask(*conditions.values())
    status: Status = "unknown" if answer is None else "sat" if isinstance(answer, Point) else "unsat"
    return script(question, title=f"{title} (rules {ruleset.sha256[:16]})", labels=labels, status=status)


def _question(prover: Prover, name: str) -> tuple[str, dict[str, Expr]]:
    """A line that says what is asked, and the conditions by label."""
    sort, _, rest = name.partition(":")
    every = prover.rules
    match sort, [_rule(prover, anchor) for anchor in rest.split(",") if anchor]:
        case "consistency", []:
            return "is some action safe in some state?", _kept(prover, list(every))
        case "totality", []:
            return "is there a state in which every action breaks a rule?", _stuck(prover, list(every))
        case "rule", [rule]:
            return f"can {prover.anchor(rule)} be broken?", {f"broken_{prover.anchor(rule)}": prover.breaks(rule)}
        case "alone", [rule]:
            others = _kept(prover, [other for other in every if other != rule])
            anchor = prover.anchor(rule)
            return f"can {anchor} be broken where no other rule is?", {
                f"broken_{anchor}": prover.breaks(rule),
                **others,
            }
        case "together", [_, _, *_] as rules:
            names = ", ".join(map(prover.anchor, rules))
            return f"is there a state in which every action breaks one of {names}?", _stuck(prover, rules)
        case _:
            raise RuleError(f"expected a question ({FORMS}), got `{name:.60}`; ask one of these")


def _kept(prover: Prover, rules: list[int]) -> dict[str, Expr]:
    return {f"kept_{prover.anchor(rule)}": prover.keeps(rule) for rule in rules}


def _stuck(prover: Prover, rules: list[int]) -> dict[str, Expr]:
    return {f"blocked_A{place}": prover.breaks_one(rules, action) for place, action in enumerate(prover.actions, 1)}


def _rule(prover: Prover, anchor: str) -> int:
    for place, rule in enumerate(prover.ruleset.rules):
        if anchor in (rule.anchor, rule.name):
            return place
    raise RuleError(f"expected a rule among R1 to R{len(prover.rules)}, or its name, got `{anchor:.60}`; correct it")
