"""One context of the solver and the rule sets translated into it; the solver's module is given, never imported here."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from symbolic.reading.reference import MAYBE, NO, YES, Truth
from symbolic.solving.existence import exists
from symbolic.solving.question import Codes, Point, Question
from symbolic.solving.translation import Translation

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

Found: TypeAlias = Truth | None
"""Truth of one rule's violation over all states that the facts allow; None where the solver does not know."""

KEPT_BOUNDS: Final = 4096
"""Bounds of variables kept per rule set."""

KEPT_SETS: Final = 16
"""Rule sets translated and kept per context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Atom:
    """That a rule is broken, or is not, by one action of the list, or by the action that is looked for."""

    rule: int
    """Its place in the set."""
    action: Codes | None = None
    """Codes of the action; None = the one that is looked for."""
    is_broken: bool = True


Clause: TypeAlias = tuple[Atom, ...]
"""One of these holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one query may cost."""

    rlimit: int = 400_000
    """Solver steps per query: the reproducible limit, some 0.3 s."""
    watchdog_s: float = 2.0
    """Wall time without any finished query after which the worker is interrupted, then abandoned."""

    recycle_after: int = 10_000
    """Queries after which a context is thrown away: incremental solving grows by some 200 bytes a query."""

    def __post_init__(self) -> None:
        """Refuse budgets that the solver would ignore."""
        if self.rlimit < 1 or self.recycle_after < 1 or not 0 < self.watchdog_s < math.inf:
            raise ValueError(f"expected rlimit and recycle_after >= 1 and watchdog_s > 0, got {self}; raise the budget")


@dataclass(frozen=True, slots=True)
class Terms:
    """A rule set in a context."""

    state: list[Any]
    action: list[Any]
    violations: list[Any]
    opposites: list[Any]
    solver: Any
    bounds: dict[tuple[int, int, int], tuple[Any, ...]]
    known: dict[tuple[int, Codes], Any]
    """Violations under a known action."""


class Session:
    """One Z3 context and what was translated into it; used on its worker's thread only."""

    def __init__(self, z3: ModuleType, budget: Budget, watch: Callable[[Callable[[], None] | None], None]) -> None:
        self.z3: Any = z3
        self.context = self.z3.Context()
        self.budget = budget
        self.watch = watch
        self.queries = 0
        self.thread = threading.get_ident()
        self.known: dict[str, Terms] = {}

    def terms(self, ruleset: RuleSet[Any, Any]) -> Terms:
        """The rule set in this context, translated once."""
        assert threading.get_ident() == self.thread, "a context belongs to one thread"
        if ruleset.sha256 not in self.known:
            if len(self.known) >= KEPT_SETS:
                self.known.clear()
            self.known[ruleset.sha256] = self._translate(ruleset)
        return self.known[ruleset.sha256]

    def _translate(self, ruleset: RuleSet[Any, Any]) -> Terms:
        state, action = (
            [self.z3.Int(f"{letter}{field.index}", self.context) for field in schema.__domain__.fields]
            for letter, schema in (("s", ruleset.state), ("a", ruleset.action))
        )
        translation = Translation(self.z3, self.context, state, action)
        solver = self.z3.Solver(ctx=self.context)
        solver.set("rlimit", self.budget.rlimit)
        # No `timeout`: it starts a timer thread per query and its overshoot is unbounded; the watchdog stands behind.
        solver.set("random_seed", 0)
        violations = [translation.truth(rule.violation) for rule in ruleset.rules]
        return Terms(state, action, violations, [self.z3.Not(one) for one in violations], solver, {}, {})

    def find(
        self, terms: Terms, ruleset: RuleSet[Any, Any], clauses: Sequence[Clause], inside: Sequence[int]
    ) -> Point | Literal[False] | None:
        """See `Solver.find`."""
        variables = terms.state + terms.action
        fields = ruleset.state.__domain__.fields + ruleset.action.__domain__.fields
        terms.solver.push()
        try:
            for place, (variable, field) in enumerate(zip(variables, fields, strict=True)):
                edge = int(place in inside)
                terms.solver.add(*self.bounds(terms, variable, field.low + edge, field.high - edge))
            for clause in clauses[:-1]:
                terms.solver.add(self.z3.Or([self.atom(terms, ruleset, one) for one in clause]))
            last = self.z3.Or([self.atom(terms, ruleset, one) for one in clauses[-1]])
            codes: list[int] = []

            def read(model: Any) -> None:
                codes.extend(model.eval(variable, model_completion=True).as_long() for variable in variables)

            answer = self.query(terms, last, read)
            if answer is not True:
                return answer
            return Point(tuple(codes[: len(terms.state)]), tuple(codes[len(terms.state) :]))
        finally:
            terms.solver.pop()

    def exists(self, question: Question) -> Point | Literal[False] | None:
        """See `Solver.exists`."""
        self.queries += 1
        return exists(self.z3, question, self.budget.rlimit, self.watch)

    def atom(self, terms: Terms, ruleset: RuleSet[Any, Any], one: Atom) -> Any:
        """The term of an atom; under a known action made once."""
        term = terms.violations[one.rule]
        if one.action is not None:
            key = one.rule, one.action
            if key not in terms.known:
                action = [self.z3.IntVal(code, self.context) for code in one.action]
                translation = Translation(self.z3, self.context, terms.state, action)
                terms.known[key] = self.z3.simplify(translation.truth(ruleset.rules[one.rule].violation))
            term = terms.known[key]
        return term if one.is_broken else self.z3.Not(term)

    def decide(self, terms: Terms, index: int, is_all_asked: bool) -> Found:
        """Whether one rule is violated in all, some or no states of the box; None if the solver does not know."""
        is_possible = self.query(terms, terms.violations[index])
        if is_possible is not True:
            return None if is_possible is None else NO
        # The rule is violated in some state for sure; not knowing whether in all is "some".
        return YES if is_all_asked and self.query(terms, terms.opposites[index]) is False else MAYBE

    def confirm(self, terms: Terms, claims: Sequence[Found]) -> bool:
        """Whether the box allows no other truths than the claimed ones (of the rules with a claim)."""
        others = [
            violation if claim is NO else opposite
            for violation, opposite, claim in zip(terms.violations, terms.opposites, claims, strict=True)
            if claim is not None
        ]
        return self.query(terms, self.z3.Or(others)) is False

    @contextmanager
    def box(self, terms: Terms, spans: Sequence[tuple[int, int]], action: Sequence[int]) -> Iterator[None]:
        """Assume what the facts allow and the action while the context is open."""
        terms.solver.push()
        try:
            for variable, (low, high) in zip(terms.state, spans, strict=True):
                terms.solver.add(*self.bounds(terms, variable, low, high))
            for variable, code in zip(terms.action, action, strict=True):
                terms.solver.add(*self.bounds(terms, variable, code, code))
            yield
        finally:
            terms.solver.pop()

    def bounds(self, terms: Terms, variable: Any, low: int, high: int) -> tuple[Any, ...]:
        """Terms that bound a variable, kept: building them costs more than solving with them."""
        key = (id(variable), low, high)  # INVARIANT: `terms` keeps the variables alive
        if key not in terms.bounds:
            if len(terms.bounds) >= KEPT_BOUNDS:
                terms.bounds.clear()
            terms.bounds[key] = (variable == low,) if low == high else (variable >= low, variable <= high)
        return terms.bounds[key]

    def query(self, terms: Terms, condition: Any, read: Callable[[Any], None] | None = None) -> bool | None:
        """Whether a condition holds in some state of the box; None if the solver does not know.

        `read` is given the model where there is one.
        """
        solver = terms.solver
        solver.push()
        try:
            solver.add(condition)
            answer = self.watched(solver.check)
            if read is not None and answer == self.z3.sat:
                read(solver.model())
        finally:
            solver.pop()
        return True if answer == self.z3.sat else False if answer == self.z3.unsat else None

    def watched(self, check: Callable[[], Any]) -> Any:
        """What a check says, the watchdog standing by while it runs."""
        self.watch(self.context.interrupt)
        try:
            return check()
        finally:
            self.watch(None)
            self.queries += 1
