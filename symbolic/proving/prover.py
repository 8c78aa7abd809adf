"""Questions about all states at once, and each answer tried: a point is replayed, what is not known is None.

A question with few points is answered by trying them; else the solver answers, and a "no" of its is confirmed at all
points, or at many drawn ones where there are too many. Answers are kept by content (`answers.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from symbolic.declaration import opposite
from symbolic.domain import codes_of, domain_of
from symbolic.expression import Constant, Expr, Junction, Owner
from symbolic.facts import Facts
from symbolic.proving.answers import Answers, Denial
from symbolic.proving.census import COMPLETE, SAMPLE, Census
from symbolic.proving.grid import Drawn, among, drawn, first
from symbolic.proving.report import Finding, Level, Sort
from symbolic.reading.batch import BatchError
from symbolic.reading.reference import YES, Walk
from symbolic.reading.residual import junction, residual
from symbolic.solving.question import Codes, Point, Question, Spans, spans_of
from symbolic.solving.session import Atom, Budget, Clause
from symbolic.solving.smt import Solver
from symbolic.solving.worker import SolverError

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

FEW: Final = 1 << 18
"""Most points that are all tried before the solver is asked: that takes no longer than asking."""

PROVING: Final = Budget(rlimit=4_000_000, watchdog_s=60.0)
"""The budget of a question: some 3 s of steps, and a wall clock that only a stuck solver meets."""

Found: TypeAlias = Point | Literal[False] | None
"""A point, none anywhere, or not known."""


class Prover:
    """One rule set, what answers questions about it, and what was answered."""

    def __init__(
        self,
        ruleset: RuleSet[Any, Any],
        seen: Census,
        solver: Solver,
        *,
        answers: Answers | None = None,
        assumption: Expr | None = None,
        complete: int = COMPLETE,
        sample: int = SAMPLE,
    ) -> None:
        self.ruleset, self.seen, self.solver = ruleset, seen, solver
        self.answers = answers or Answers.empty()
        self.assumption = () if assumption is None else (assumption,)
        self.complete, self.sample = complete, sample
        self.state, self.action = domain_of(ruleset.state), domain_of(ruleset.action)
        self.actions: list[Codes] = [codes_of(action) for action in ruleset.actions]
        self.rules = range(len(ruleset.rules))
        self._left: dict[tuple[int, Codes], Expr] = {}
        self._reads = [[one.field.index for one in rule.reads if one.owner is Owner.ACTION] for rule in ruleset.rules]
        self.forbids = [
            sum(1 << place for place, action in enumerate(self.actions) if self.left(rule, action) != Constant(False))
            for rule in self.rules
        ]
        """For each rule the actions that it can forbid, as far as the declared ranges tell: a bit for each action."""
        self.num_queries = 0
        """Questions to the solver."""
        self.num_kept = 0
        """Questions whose answer was known from an earlier report."""
        self.denials: Counter[Denial] = Counter()
        """How each "no" was confirmed."""
        self.faults: list[str] = []
        """Answers that did not survive."""
        self._asked: dict[str, Found] = {}
        self._points: Drawn | None = None

    # What rules say

    def broken(self, state: Codes, action: Codes) -> frozenset[int]:
        """Places of the rules that an action breaks in a state."""
        return frozenset(self.ruleset.compiled(state, action))

    def is_stuck(self, state: Codes, rules: Iterable[int] | None = None) -> bool:
        """Whether every action breaks one of some rules, of all if None."""
        some = frozenset(self.rules if rules is None else rules)
        return all(self.broken(state, action) & some for action in self.actions)

    def is_assumed(self, state: Codes) -> bool:
        """Whether a state is one of those that the rules assume."""
        walk = Walk(Facts.from_codes(self.ruleset.state, state), None)
        return all(walk.truth(condition) is YES for condition in self.assumption)

    def breaks(self, rule: int) -> Expr:
        """That the action that is looked for breaks a rule."""
        return self.ruleset.rules[rule].violation

    def keeps(self, rule: int) -> Expr:
        """That the action that is looked for keeps a rule."""
        return opposite(self.ruleset.rules[rule].violation)

    def left(self, rule: int, action: Codes) -> Expr:
        """Where an action of the list breaks a rule: a condition over the state."""
        key = rule, tuple([action[index] for index in self._reads[rule]])
        if key not in self._left:
            self._left[key] = residual(self.ruleset.rules[rule].violation, action)
        return self._left[key]

    def breaks_one(self, rules: Iterable[int], action: Codes) -> Expr:
        """Where an action of the list breaks one of some rules."""
        return junction(Junction.OR, [self.left(rule, action) for rule in rules])

    # Asking

    def find(self, clauses: Sequence[Clause]) -> Found:
        """A point where all clauses hold."""
        return self.ask(*(junction(Junction.OR, [self._atom(one) for one in clause]) for clause in clauses))

    def _atom(self, one: Atom) -> Expr:
        if one.action is None:
            return self.breaks(one.rule) if one.is_broken else self.keeps(one.rule)
        left = self.left(one.rule, one.action)
        return left if one.is_broken else opposite(left)

    def ask(self, *conditions: Expr, spans: Spans | None = None) -> Found:
        """A state in the spans, and an action, in which all conditions hold."""
        wanted = [one for one in (*self.assumption, *conditions) if one != Constant(True)]
        if Constant(False) in wanted:
            return False
        question = Question(self.state, self.action, tuple(wanted), spans or spans_of(self.state))
        if not wanted:
            return question.point([])
        key = question.key
        if key not in self._asked:
            self._asked[key] = self._kept(question, key)
        return self._asked[key]

    def _kept(self, question: Question, key: str) -> Found:
        """The answer of an earlier report where it still holds, else a new one."""
        known = self.answers.get(question, key)
        if known is not None and (isinstance(known, Denial) or self._holds(question, known)):
            self.num_kept += 1
        else:
            known = self._answer(question)
        if known is None:
            return None
        self.answers.put(question, key, known)
        if isinstance(known, Denial):
            self.denials[known] += 1
            return False
        return known

    def _answer(self, question: Question) -> Point | Denial | None:
        """An answer that was tried; None where there is none, or it did not survive."""
        found = self._found(question)
        if isinstance(found, Point) and not self._holds(question, found):
            self.faults.append(f"the point {found.state}, {found.action} was given as an answer and is none")
            return None
        return found

    def _found(self, question: Question) -> Point | Denial | None:
        if question.size <= min(FEW, self.complete):
            try:
                return first(question) or Denial.ENUMERATED
            except BatchError:
                pass  # the solver has no such limit
        self.num_queries += 1
        try:
            answer = self.solver.exists(question)
        except SolverError:
            return None
        return self._confirmed(question) if answer is False else answer

    def _confirmed(self, question: Question) -> Denial | None:
        """The solver's "no" held against points."""
        try:
            if question.size <= self.complete:
                point, how = first(question), Denial.ENUMERATED
            else:
                self._points = self._points or drawn(self.state, self.action, self.sample, seed=0)
                point, how = among(question, self._points), Denial.SAMPLED
        except BatchError:
            return Denial.PROVED
        if point is None:
            return how
        self.faults.append(f"the point {point.state}, {point.action} was denied by the solver")
        return None

    def _holds(self, question: Question, point: Point) -> bool:
        """Whether a point is an answer, by the reference walk."""
        walk = Walk(Facts.from_codes(self.ruleset.state, point.state), point.action)
        return all(walk.truth(condition) is YES for condition in question.conditions)

    def take(self, other: Prover) -> None:
        """Count what another prover was asked, on the way to an answer of this one, as asked of this one."""
        self.num_queries += other.num_queries
        self.num_kept += other.num_kept
        self.denials += other.denials
        self.faults += other.faults

    # Telling

    def anchor(self, rule: int) -> str:
        """The name of a rule."""
        return self.ruleset.rules[rule].anchor

    def finding(self, sort: Sort, level: Level, rules: Sequence[int], text: str, state: Codes | None = None) -> Finding:
        """A finding about rules, with the state that shows it."""
        shown = () if state is None else tuple((one.name, one.show(state[one.index])) for one in self.state.fields)
        return Finding(sort=sort, level=level, rules=tuple(map(self.anchor, rules)), text=text, state=shown)
