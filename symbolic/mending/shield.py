"""The shield: an action for every state, looked up among the witnesses of a proof that some action is always safe.

    shield = Shield.of(rules, verify(rules))
    shield.action(facts)            # safe on these facts, checked; on exact facts there always is one

A proof of totality ends with a few actions (witnesses) of which in every state one is safe. So where nothing else is
left, trying them natively is enough; no solver runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from symbolic.certifying.certificate import totality_certificate
from symbolic.domain import Action, State, codes_of, domain_of
from symbolic.expression import Constant, Junction
from symbolic.facts import Facts
from symbolic.field import show_value
from symbolic.proving.report import Answer, Report
from symbolic.reading.residual import junction, residual
from symbolic.rules import RuleSet
from symbolic.solving.question import Question
from symbolic.solving.smt import Solver, default_solver
from symbolic.solving.worker import SolverError

S = TypeVar("S", bound=State)
A = TypeVar("A", bound=Action)


class ShieldError(ValueError):
    """A shield that would have gaps, or of which nobody knows whether it has: one line, with what to do."""


@dataclass(frozen=True, slots=True)
class Shield(Generic[S, A]):
    """Actions of which in every state one is safe; build with `of` or `from_json`, which demand the proof."""

    ruleset: RuleSet[S, A]
    witnesses: tuple[A, ...]
    """In every state of the declared domain one of them breaks no rule."""
    preferred: tuple[A, ...] = ()
    """Actions that are tried before them."""

    @classmethod
    def of(cls, ruleset: RuleSet[S, A], report: Report, *, preferred: Sequence[A] = ()) -> Shield[S, A]:
        """The shield that a load-time report proves.

        Raises:
            ShieldError: the report is about other rules, or does not say that they are total.
        """
        if report.ruleset_sha256 != ruleset.sha256:
            raise ShieldError("expected the report of these rules, got that of others; verify these")
        if report.total is not Answer.YES or not report.witnesses:
            raise ShieldError(f"expected rules that are proved total, got `{report.total}`; a shield would have gaps")
        fields = domain_of(ruleset.action).fields
        shown = {
            tuple((one.name, one.show(code)) for one, code in zip(fields, codes_of(action), strict=True)): action
            for action in ruleset.actions
        }
        try:
            return cls(ruleset, tuple(shown[witness] for witness in report.witnesses), tuple(preferred))
        except KeyError as error:
            raise ShieldError(f"expected witnesses that are actions of the rules, got `{error}`; verify anew") from None

    def action(self, facts: Facts) -> A | None:
        """The first of the actions that is safe in every state that the facts allow; None where none is.

        On exact facts of the declared domain there always is one. Each answer is checked before it is given.
        """
        for action in (*self.preferred, *self.witnesses):
            if self.ruleset.check(facts, action).is_safe:
                return action
        return None

    @property
    def certificate(self) -> str:
        """The certificate of totality, for the independent checker."""
        return totality_certificate(self.ruleset, self.witnesses)

    def to_json(self) -> str:
        """Canonical JSON, format `localist-shield` version 1: the certificate of totality and what is tried first."""
        record = {
            "certificate": json.loads(self.certificate),
            "format": "localist-shield",
            "preferred": [action.model_dump() for action in self.preferred],
            "schema_version": 1,
        }
        return json.dumps(record, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str, ruleset: RuleSet[S, A], *, solver: Solver | None = None) -> Shield[S, A]:
        """Read `to_json` text back and prove again that the witnesses cover every state.

        Raises:
            ShieldError: other text, other rules, a state without a safe witness, or a solver that cannot tell.
        """
        try:
            record = json.loads(text)
            is_ours = record["format"] == "localist-shield" and record["schema_version"] == 1
            witnesses, preferred = record["certificate"]["witnesses"], record["preferred"]
            name = record["certificate"]["rules"]
            read = [[ruleset.action.model_validate(one) for one in actions] for actions in (witnesses, preferred)]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ShieldError(f"expected a shield as JSON, got {show_value(text)}; give the text of to_json") from None
        if not is_ours or name != ruleset.sha256:
            raise ShieldError("expected a shield of version 1 for these rules, got another; build it from their report")
        shield = cls(ruleset, tuple(read[0]), tuple(read[1]))
        _demand_total(shield, solver or default_solver())
        return shield


def _demand_total(shield: Shield[Any, Any], solver: Solver) -> None:
    """Refuse witnesses that are not proved to cover every state: one question to the solver."""
    rules, witnesses = shield.ruleset, [codes_of(action) for action in shield.witnesses]
    broken = [junction(Junction.OR, [residual(rule.violation, one) for rule in rules.rules]) for one in witnesses]
    gap = [one for one in (*broken, rules.assumption) if one is not None and one != Constant(True)]
    state, action = domain_of(rules.state), domain_of(rules.action)
    question = Question(state, action, tuple(gap), tuple((one.low, one.high) for one in state.fields))
    try:
        answer = False if Constant(False) in gap else solver.exists(question) if witnesses and gap else None
    except SolverError as error:
        raise ShieldError(f"expected a proof that the witnesses cover every state, got none: {error}") from None
    if answer is not False:
        found = "none" if answer is None else "a state without a safe one"
        raise ShieldError(f"expected a proof that the witnesses cover every state, got {found}; verify the rules anew")
