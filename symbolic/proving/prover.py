"""Questions about all states at once, and each answer tried: a point is replayed, what is not known is None."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from symbolic.domain import codes_of
from symbolic.expression import Constant
from symbolic.proving.census import Census
from symbolic.reading.compiled import Codes
from symbolic.reading.residual import residual
from symbolic.solving.session import Atom, Clause, Point
from symbolic.solving.smt import Solver
from symbolic.solving.worker import SolverError

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

Answer = Point | Literal[False] | None
"""A point, none anywhere, or not known."""


class Prover:
    """One rule set, a solver, and a census to hold its answers against."""

    def __init__(self, ruleset: RuleSet[Any, Any], seen: Census, solver: Solver) -> None:
        self.ruleset, self.seen = ruleset, seen
        self.actions: list[Codes] = [codes_of(action) for action in ruleset.actions]
        self.rules = range(len(ruleset.rules))
        self.forbids = [
            frozenset(a for a in self.actions if residual(rule.violation, a) != Constant(False))
            for rule in ruleset.rules
        ]
        """For each rule the actions that it can forbid, as far as the declared ranges tell."""
        self.num_queries = 0
        self.faults: list[str] = []
        """Answers of the solver that did not survive."""
        self.solver = solver

    def broken(self, state: Codes, action: Codes) -> frozenset[int]:
        """Places of the rules that an action breaks in a state."""
        return frozenset(self.ruleset.compiled(state, action))

    def is_stuck(self, state: Codes, rules: Iterable[int] | None = None) -> bool:
        """Whether every action breaks one of some rules, of all if None."""
        some = frozenset(self.rules if rules is None else rules)
        return all(self.broken(state, action) & some for action in self.actions)

    def find(self, clauses: Sequence[Clause], *, inside: Sequence[int] = ()) -> Answer:
        """A point where all clauses hold; see `Solver.find`."""
        self.num_queries += 1
        try:
            answer = self.solver.find(self.ruleset, clauses, inside=inside)
        except SolverError:
            return None
        if isinstance(answer, Point) and not all(self._holds(clause, answer) for clause in clauses):
            self.faults.append(
                f"the solver's point {answer.state}, {answer.action} does not hold by the compiled rules"
            )
            return None
        return answer

    def ever_broken(self, rule: int) -> Answer:
        """A point that breaks a rule."""
        known = self.seen.broken.get(rule)
        return Point(*known) if known else self._denied(self.find([(Atom(rule=rule),)]))

    def ever_alone(self, rule: int) -> Answer:
        """A point that breaks a rule and no other."""
        known = self.seen.alone.get(rule)
        others = [(Atom(rule=other, is_broken=False),) for other in self.rules if other != rule]
        return Point(*known) if known else self._denied(self.find([(Atom(rule=rule),), *others]))

    def ever_safe(self) -> Answer:
        """A point that breaks no rule."""
        keep = [(Atom(rule=rule, is_broken=False),) for rule in self.rules]
        return Point(*self.seen.safe) if self.seen.safe else self._denied(self.find(keep))

    def _denied(self, answer: Answer) -> Answer:
        """An answer to what the census did not see: where it saw every point, there can be none."""
        if isinstance(answer, Point) and self.seen.is_complete:
            self.faults.append(f"the point {answer.state}, {answer.action} was not seen by a complete census")
            return None
        return answer

    def _holds(self, clause: Clause, point: Point) -> bool:
        return any(
            (one.rule in self.broken(point.state, one.action or point.action)) is one.is_broken for one in clause
        )
