"""The solver's reading of rules (the only file that imports Z3): decides open facts, confirms what was decided.

Everything of Z3 lives on one worker thread with a context of its own; where rules are not linear, in a process of its
own (`apart.py`). Budgets are counts of solver steps (`rlimit`), so that answers are reproducible; wall time is only the
backstop. Whatever is not a clear answer (no solver, unknown, time-out, exception) is None, which no caller may read as
safe.

Measured (CPU time, ten rules over six fields, one shared core): deciding an exact verdict again 0.5 ms, an
open one some 2 ms; memory grows by 2 MB over 20,000 exact verdicts.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar

from symbolic.domain import Action, codes_of
from symbolic.facts import Facts
from symbolic.reading.reference import Truth
from symbolic.solving.apart import Apart, goes_apart, shared_apart
from symbolic.solving.optimum import optimum
from symbolic.solving.question import Codes, Point, Question
from symbolic.solving.session import Budget, Clause, Found, Session
from symbolic.solving.worker import SolverError, Worker

if TYPE_CHECKING:
    from symbolic.mending.metric import Metric
    from symbolic.rules import RuleSet

MAX_STUCK: Final = 4
"""Abandoned workers that still run, beyond which no new one is started: each holds a thread and a context."""

T = TypeVar("T")


def decide(
    ruleset: RuleSet[Any, Any], facts: Facts, action: Action, only: Sequence[int] | None = None
) -> tuple[Found, ...]:
    """Per rule: violated in all (YES), some (MAYBE) or no (NO) states that the facts allow; None if unknown.

    `only` names the rules to decide by index; the others are None.
    """
    try:
        return default_solver().decide(ruleset, facts, action, only)
    except SolverError:
        return (None,) * len(ruleset.rules)


def possible(
    ruleset: RuleSet[Any, Any], facts: Facts, action: Action, only: Sequence[int] | None = None
) -> tuple[Found, ...]:
    """As `decide`, at half the cost: MAYBE stands for some or all. What a check needs."""
    try:
        return default_solver().decide(ruleset, facts, action, only, is_all_asked=False)
    except SolverError:
        return (None,) * len(ruleset.rules)


def example(ruleset: RuleSet[Any, Any], facts: Facts, action: Codes, rule: int) -> Codes | None:
    """A state that the facts allow and in which the action breaks the rule; None where the solver gives none."""
    try:
        return default_solver().example(ruleset, facts, action, rule)
    except SolverError:
        return None


_shared: dict[tuple[int, Budget], Solver] = {}
_shared_lock = threading.Lock()


def default_solver() -> Solver:
    """The solver of this process with the default budget."""
    return shared_solver(Budget())


def shared_solver(budget: Budget) -> Solver:
    """The solver of this process with that budget (a forked child gets its own), started on first use."""
    key = os.getpid(), budget
    with _shared_lock:
        if key not in _shared:
            for other in [other for other in _shared if other[0] != key[0]]:
                del _shared[other]
            _shared[key] = Solver(key[1])
        return _shared[key]


def load_z3() -> ModuleType:
    """Import Z3, at first use only: exact checks must work without it."""
    return importlib.import_module("z3")


class Solver:
    """One Z3 worker thread with its budget; a context manager. Safe to call from any thread."""

    def __init__(
        self,
        budget: Budget | None = None,
        load: Callable[[], ModuleType] | None = None,
        apart: Apart | Literal["shared"] | None = "shared",
    ) -> None:
        """Start nothing yet.

        Args:
            budget: what one query may cost.
            load: provides the z3 module, on the worker thread; where it is given, nothing runs apart by default.
            apart: where rules that are not linear are decided; on the worker thread too, if None.
        """
        self.budget = budget or Budget()
        self._apart = (shared_apart() if load is None else None) if apart == "shared" else apart
        load = load or load_z3
        self._load = load
        self._lock = threading.Lock()
        self._worker: Worker | None = None
        self._stuck: list[Worker] = []
        self._is_closed = False

    def decide(
        self,
        ruleset: RuleSet[Any, Any],
        facts: Facts,
        action: Action,
        only: Sequence[int] | None = None,
        *,
        is_all_asked: bool = True,
    ) -> tuple[Found, ...]:
        """See `decide`; `is_all_asked=False` answers MAYBE for YES. `SolverError` where there is no answer."""
        chosen, wanted = codes_of(action), range(len(ruleset.rules)) if only is None else only
        spans = spans_of(ruleset, facts)
        if (apart := self._apart_for(ruleset)) is not None:
            asked = {"facts": facts.to_json(), "action": chosen, "only": list(wanted), "is_all_asked": is_all_asked}
            found = apart.ask(ruleset, self.budget, "decide", asked)
            return tuple(None if one is None else Truth(one) for one in found)

        def job(session: Session) -> tuple[Found, ...]:
            terms = session.terms(ruleset)
            with session.box(terms, spans, chosen):
                return tuple(
                    session.decide(terms, index, is_all_asked) if index in wanted else None
                    for index in range(len(ruleset.rules))
                )

        return self._run(job)

    def find(
        self, ruleset: RuleSet[Any, Any], clauses: Sequence[Clause], *, inside: Sequence[int] = ()
    ) -> Point | Literal[False] | None:
        """A state and an action in which all clauses hold; False where there are none, None if the solver cannot tell.

        `inside` names state fields, by index, that may have neither their lowest nor their highest value.

        Raises:
            SolverError: no answer at all.
        """
        if (apart := self._apart_for(ruleset)) is not None:
            plain = [[[one.rule, one.action, one.is_broken] for one in clause] for clause in clauses]
            found = apart.ask(ruleset, self.budget, "find", {"clauses": plain, "inside": list(inside)})
            return Point(*map(tuple, found)) if found else found

        def job(session: Session) -> Point | Literal[False] | None:
            return session.find(session.terms(ruleset), ruleset, clauses, inside)

        return self._run(job)

    def example(self, ruleset: RuleSet[Any, Any], facts: Facts, action: Codes, rule: int) -> Codes | None:
        """See `example`; `SolverError` where there is no answer."""
        spans = spans_of(ruleset, facts)
        if (apart := self._apart_for(ruleset)) is not None:
            asked = {"facts": facts.to_json(), "action": action, "rule": rule}
            found = apart.ask(ruleset, self.budget, "example", asked)
            return None if found is None else tuple(found)

        def job(session: Session) -> Codes | None:
            terms = session.terms(ruleset)
            codes: list[int] = []

            def read(model: Any) -> None:
                codes.extend(model.eval(variable, model_completion=True).as_long() for variable in terms.state)

            with session.box(terms, spans, action):
                return tuple(codes) if session.query(terms, terms.violations[rule], read) else None

        return self._run(job)

    def nearest(
        self, ruleset: RuleSet[Any, Any], states: Sequence[Codes], wanted: Codes, metric: Metric
    ) -> Codes | Literal[False] | None:
        """The nearest action that complies in all of some states; see `optimum`. `SolverError`: no answer."""
        if (apart := self._apart_for(ruleset)) is not None:
            asked = {"states": states, "wanted": wanted, "metric": metric.to_json()}
            found = apart.ask(ruleset, self.budget, "nearest", asked)
            return tuple(found) if found else found
        return self._run(lambda session: optimum(session, ruleset, states, wanted, metric))

    def exists(self, question: Question) -> Point | Literal[False] | None:
        """A point where all conditions of a question hold; False where there is none, None if the solver cannot tell.

        Raises:
            SolverError: no answer at all.
        """
        return self._run(lambda session: session.exists(question))

    def confirms(self, ruleset: RuleSet[Any, Any], facts: Facts, action: Action, claims: Sequence[Found]) -> bool:
        """Whether no truths but these are possible (None claims nothing), in one query; False where it cannot tell.

        Raises:
            SolverError: no answer at all.
        """
        chosen, spans = codes_of(action), spans_of(ruleset, facts)
        if (apart := self._apart_for(ruleset)) is not None:
            told = [None if one is None else one.value for one in claims]
            asked = {"facts": facts.to_json(), "action": chosen, "claims": told}
            return apart.ask(ruleset, self.budget, "confirms", asked) is True

        def job(session: Session) -> bool:
            terms = session.terms(ruleset)
            with session.box(terms, spans, chosen):
                return session.confirm(terms, claims)

        return self._run(job)

    def _apart_for(self, ruleset: RuleSet[Any, Any]) -> Apart | None:
        """Where this set is decided, if not on the worker thread."""
        return self._apart if self._apart is not None and not self._is_closed and goes_apart(ruleset) else None

    def _run(self, job: Callable[[Session], T]) -> T:
        """Run a job on the worker; interrupt, then abandon a worker without progress."""
        with self._lock:
            if self._is_closed:
                raise SolverError("expected an open solver, got a closed one; make a new one")
            worker = self._worker = self._worker or self._started()
            try:
                return worker.run(job, self.budget.watchdog_s)
            except FutureTimeout:
                self._worker = None
                worker.close()
                self._stuck.append(worker)
                raise SolverError(
                    f"expected an answer within {self.budget.watchdog_s} s, got none; the worker is abandoned"
                ) from None

    def _started(self) -> Worker:
        """A new worker, if not too many old ones are stuck."""
        self._stuck = [worker for worker in self._stuck if worker.is_alive]
        if len(self._stuck) >= MAX_STUCK:
            raise SolverError(f"expected workers that end, got {MAX_STUCK} that are stuck; restart the process")
        return Worker(self.budget, self._load)

    def close(self) -> None:
        """End the worker; later calls are errors."""
        with self._lock:
            self._is_closed = True
            if self._worker is not None:
                self._worker.close()
                self._worker = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def spans_of(ruleset: RuleSet[Any, Any], facts: Facts) -> tuple[tuple[int, int], ...]:
    """Lowest and highest code of each state field; an empty or foreign range is an error: all would hold in it."""
    spans = tuple(facts.span(field) for field in ruleset.state.__domain__.fields)
    for field, (low, high) in zip(ruleset.state.__domain__.fields, spans, strict=True):
        if type(low) is not int or type(high) is not int or not field.low <= low <= high <= field.high:
            raise SolverError(
                f"expected an ordered range inside `{field.name}`, got `{low}` to `{high}`; facts contradict"
            )
    return spans
