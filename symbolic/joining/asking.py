"""Questions to the solver about agents side by side, each answer replayed, and what was found on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from symbolic.declaration import opposite
from symbolic.expression import Expr
from symbolic.joining.placing import Joints, Placed, Rules
from symbolic.proving.census import Census
from symbolic.proving.prover import Prover
from symbolic.proving.report import Finding, Level, Sort
from symbolic.solving.question import Point
from symbolic.solving.session import Clause
from symbolic.solving.smt import Solver


@dataclass(slots=True, kw_only=True)
class Proof:
    """What is asked with, and what was found on the way."""

    joints: Joints
    solver: Solver
    complete: int
    """Most points at which every answer is tried."""
    sample: int
    """Points at which it is tried where there are more."""
    findings: list[Finding] = field(default_factory=list)
    num_queries: int = 0
    """Questions to the solver so far."""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that forbid to run the rules: with one of them the smaller ones are no news."""
        return tuple(one for one in self.findings if one.level is Level.ERROR)

    def fault(self, text: str) -> None:
        """Keep an answer that did not survive."""
        self.findings.append(Finding(sort=Sort.FAULT, level=Level.ERROR, rules=(), text=text))

    def find(self, rules: Rules, clauses: Sequence[Clause]) -> Point | Literal[False] | None:
        """A point where all clauses hold, replayed by the compiled rules; False where there is none."""
        prover = Prover(rules, Census(), self.solver, complete=self.complete, sample=self.sample)
        answer = prover.find(clauses)
        self.num_queries += prover.num_queries
        for text in prover.faults:
            self.fault(text)
        return answer


def violation_of(placed: Placed) -> Expr:
    """Where a rule is broken."""
    return opposite(placed.expression) if placed.rule.kind == "require" else placed.expression
