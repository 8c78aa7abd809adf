"""The solver's reading of rules (the only file that imports Z3): decides open facts, re-decides recorded verdicts.

Everything of Z3 lives on one worker thread with a context of its own. Budgets are counts of solver steps
(`rlimit`), so that answers are reproducible; wall time is only the backstop. Whatever is not a clear answer
(no solver, unknown, time-out, exception) is None, which no caller may read as safe.

Measured (CPU time, ten rules over six fields, one shared core): deciding an exact verdict again 0.5 ms, an
open one some 2 ms; memory grows by 2 MB over 20,000 exact verdicts.
"""

from __future__ import annotations

import importlib
import math
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, TypeVar

from symbolic.domain import Action, Facts, codes_of
from symbolic.reference import MAYBE, NO, YES, Truth
from symbolic.translation import Translation
from symbolic.verdict import Verdict, truths_of

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

Found: TypeAlias = Truth | None
"""Truth of one rule's violation over all states that the facts allow; None where the solver does not know."""

Recorded: TypeAlias = tuple[Facts, Action, Verdict | Sequence[Found]]
"""Facts, action and what was said of each rule then."""

KEPT_BOUNDS: Final = 4096
"""Bounds of variables kept per rule set."""

KEPT_SETS: Final = 16
"""Rule sets translated and kept per context."""

INTERRUPTS: Final = 50
"""How often the watchdog interrupts, every 10 ms, before it abandons a worker."""

T = TypeVar("T")


class SolverError(RuntimeError):
    """The solver gave no answer at all: absent, stuck, closed or failed."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """A recorded verdict that the solver does not confirm."""

    index: int
    """Place in the batch."""
    rule: str
    """Anchor of the rule; empty where the record as a whole is wrong."""
    claimed: Found
    found: Found
    """What the solver says; None where it could not decide."""
    reason: str


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


def redecide(ruleset: RuleSet[Any, Any], batch: Sequence[Recorded]) -> list[Mismatch]:
    """Decide recorded verdicts again; what is not confirmed is a mismatch, also where the solver cannot decide.

    Blocks the calling thread (the solver itself works without the interpreter's lock): call it off the hot path.
    """
    return default_solver().redecide(ruleset, batch)


_default: dict[int, Solver] = {}
_default_lock = threading.Lock()


def default_solver() -> Solver:
    """The solver of this process (a forked child gets its own), started on first use."""
    with _default_lock:
        if os.getpid() not in _default:
            _default.clear()
            _default[os.getpid()] = Solver()
        return _default[os.getpid()]


def load_z3() -> ModuleType:
    """Import Z3, at first use only: exact checks must work without it."""
    return importlib.import_module("z3")


class Solver:
    """One Z3 worker thread with its budget; a context manager. Safe to call from any thread."""

    def __init__(self, budget: Budget | None = None, load: Callable[[], ModuleType] = load_z3) -> None:
        """`load` provides the z3 module, on the worker thread."""
        self.budget = budget or Budget()
        self._load = load
        self._lock = threading.Lock()
        self._worker: _Worker | None = None
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
        spans = _spans(ruleset, facts)

        def job(session: _Session) -> tuple[Found, ...]:
            terms = session.terms(ruleset)
            with session.box(terms, spans, chosen):
                return tuple(
                    session.decide(terms, index, is_all_asked) if index in wanted else None
                    for index in range(len(ruleset.rules))
                )

        return self._run(job)

    def redecide(self, ruleset: RuleSet[Any, Any], batch: Sequence[Recorded]) -> list[Mismatch]:
        """See `redecide`; a solver without any answer confirms nothing from there on."""
        anchors = tuple(rule.anchor for rule in ruleset.rules)
        found: list[Mismatch] = []
        for index, (facts, action, said) in enumerate(batch):
            reason = _stranger(ruleset, facts, action, said)
            if reason:
                found.append(_unconfirmed(index, "", None, None, reason))
                continue
            claims = truths_of(said, anchors) if isinstance(said, Verdict) else tuple(said)
            try:
                found += self._redecide_one(ruleset, anchors, index, facts, action, claims)
            except SolverError as error:
                return found + [_unconfirmed(rest, "", None, None, str(error)) for rest in range(index, len(batch))]
        return found

    def _redecide_one(
        self,
        ruleset: RuleSet[Any, Any],
        anchors: tuple[str, ...],
        index: int,
        facts: Facts,
        action: Action,
        claims: tuple[Found, ...],
    ) -> list[Mismatch]:
        if all(claim is None for claim in claims):
            return []
        chosen, spans = codes_of(action), _spans(ruleset, facts)
        if facts.is_exact and self._run(lambda session: _confirm(session, ruleset, spans, chosen, claims)):
            return []
        claimed = [place for place, claim in enumerate(claims) if claim is not None]
        answers = self.decide(ruleset, facts, action, claimed, is_all_asked=False)
        return [
            _unconfirmed(
                index,
                anchor,
                claim,
                answer,
                "the solver could not decide" if answer is None else "the solver disagrees",
            )
            for anchor, claim, answer in zip(anchors, claims, answers, strict=True)
            if claim is not None and (answer is None or (claim is NO) is not (answer is NO))
        ]

    def _run(self, job: Callable[[_Session], T]) -> T:
        """Run a job on the worker; interrupt, then abandon a worker without progress."""
        with self._lock:
            if self._is_closed:
                raise SolverError("expected an open solver, got a closed one; make a new one")
            if self._worker is None:
                self._worker = _Worker(self.budget, self._load)
            worker = self._worker
            try:
                return worker.run(job, self.budget.watchdog_s)
            except FutureTimeout:
                self._worker = None
                raise SolverError(
                    f"expected an answer within {self.budget.watchdog_s} s, got none; the worker is abandoned"
                ) from None

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


def _unconfirmed(index: int, rule: str, claimed: Found, found: Found, reason: str) -> Mismatch:
    return Mismatch(index=index, rule=rule, claimed=claimed, found=found, reason=reason)


def _stranger(ruleset: RuleSet[Any, Any], facts: Facts, action: Action, said: Verdict | Sequence[Found]) -> str:
    """Why a record does not belong to this rule set, facts and action; empty if it does."""
    if type(facts) is not Facts or facts.schema is not ruleset.state or type(action) is not ruleset.action:
        return "the facts or the action are of another type than the rule set's"
    try:
        _spans(ruleset, facts)
    except (SolverError, TypeError, ValueError):
        return "the facts are out of range or contradict"
    if not isinstance(said, Verdict):
        return "" if len(said) == len(ruleset.rules) else "the record does not name every rule once"
    if said.ruleset_sha256 != ruleset.sha256 or said.facts_sha256 != facts.sha256 or said.action != action:
        return "the verdict speaks of another rule set, other facts or another action"
    return ""


def _spans(ruleset: RuleSet[Any, Any], facts: Facts) -> tuple[tuple[int, int], ...]:
    """Lowest and highest code of each state field; an empty or foreign range is an error: all would hold in it."""
    spans = tuple(facts.span(field) for field in ruleset.state.__domain__.fields)
    for field, (low, high) in zip(ruleset.state.__domain__.fields, spans, strict=True):
        if type(low) is not int or type(high) is not int or not field.low <= low <= high <= field.high:
            raise SolverError(
                f"expected an ordered range inside `{field.name}`, got `{low}` to `{high}`; facts contradict"
            )
    return spans


def _confirm(
    session: _Session,
    ruleset: RuleSet[Any, Any],
    spans: Sequence[tuple[int, int]],
    action: Sequence[int],
    claims: Sequence[Found],
) -> bool:
    terms = session.terms(ruleset)
    with session.box(terms, spans, action):
        return session.confirm(terms, claims)


class _Worker:
    """The thread that owns a session."""

    def __init__(self, budget: Budget, load: Callable[[], ModuleType]) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[_Session], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._budget, self._load = budget, load
        self._is_querying: Callable[[], None] | None = None
        self._beats = 0
        threading.Thread(target=self._serve, name="symbolic-solver", daemon=True).start()

    def run(self, job: Callable[[_Session], T], watchdog_s: float) -> T:
        """Hand a job over and wait; `FutureTimeout` when nothing moved for `watchdog_s` and interrupts did not help."""
        future: Future[T] = Future()
        self._jobs.put((job, future))
        while True:
            beats = self._beats
            try:
                return future.result(timeout=watchdog_s)
            except FutureTimeout:
                if beats == self._beats:
                    break
        for _ in range(INTERRUPTS):
            if (interrupt := self._is_querying) is not None:  # interrupting outside a query may crash the solver
                interrupt()
            try:
                future.result(timeout=0.01)
                break
            except FutureTimeout:
                continue
            except SolverError:
                break
        raise FutureTimeout  # also where an answer came after the watchdog: late answers are dropped

    def close(self) -> None:
        self._jobs.put(None)

    def _serve(self) -> None:
        session: _Session | None = None
        while (entry := self._jobs.get()) is not None:
            job, future = entry
            try:
                if session is None or session.queries >= self._budget.recycle_after:
                    session = None
                    session = _Session(self._load(), self._budget, self._watch)
                future.set_result(job(session))
            except Exception as error:  # noqa: BLE001 - the decision: no answer, with its text
                # INVARIANT: only text leaves this thread: a traceback would hold solver terms, and freeing those
                # on another thread crashes the process.
                future.set_exception(SolverError(f"{type(error).__name__}: {error}".replace("\n", " ")[:300]))
                session = None
            del entry, job, future

    def _watch(self, interrupt: Callable[[], None] | None) -> None:
        self._is_querying = interrupt
        self._beats += 1


@dataclass(frozen=True, slots=True)
class _Terms:
    """A rule set in a context."""

    state: list[Any]
    action: list[Any]
    violations: list[Any]
    opposites: list[Any]
    solver: Any
    bounds: dict[tuple[int, int, int], tuple[Any, ...]]


class _Session:
    """One Z3 context and what was translated into it; used on its worker's thread only."""

    def __init__(self, z3: ModuleType, budget: Budget, watch: Callable[[Callable[[], None] | None], None]) -> None:
        self.z3: Any = z3
        self.context = self.z3.Context()
        self.budget = budget
        self.watch = watch
        self.queries = 0
        self.thread = threading.get_ident()
        self.known: dict[str, _Terms] = {}

    def terms(self, ruleset: RuleSet[Any, Any]) -> _Terms:
        """The rule set in this context, translated once."""
        assert threading.get_ident() == self.thread, "a context belongs to one thread"
        if ruleset.sha256 not in self.known:
            if len(self.known) >= KEPT_SETS:
                self.known.clear()
            self.known[ruleset.sha256] = self._translate(ruleset)
        return self.known[ruleset.sha256]

    def _translate(self, ruleset: RuleSet[Any, Any]) -> _Terms:
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
        return _Terms(state, action, violations, [self.z3.Not(one) for one in violations], solver, {})

    def decide(self, terms: _Terms, index: int, is_all_asked: bool) -> Found:
        """Whether one rule is violated in all, some or no states of the box; None if the solver does not know."""
        is_possible = self.query(terms, terms.violations[index])
        if is_possible is not True:
            return None if is_possible is None else NO
        # The rule is violated in some state for sure; not knowing whether in all is "some".
        return YES if is_all_asked and self.query(terms, terms.opposites[index]) is False else MAYBE

    def confirm(self, terms: _Terms, claims: Sequence[Found]) -> bool:
        """Whether the box allows no other truths than the claimed ones (of the rules with a claim)."""
        others = [
            violation if claim is NO else opposite
            for violation, opposite, claim in zip(terms.violations, terms.opposites, claims, strict=True)
            if claim is not None
        ]
        return self.query(terms, self.z3.Or(others)) is False

    @contextmanager
    def box(self, terms: _Terms, spans: Sequence[tuple[int, int]], action: Sequence[int]) -> Iterator[None]:
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

    def bounds(self, terms: _Terms, variable: Any, low: int, high: int) -> tuple[Any, ...]:
        """Terms that bound a variable, kept: building them costs more than solving with them."""
        key = (id(variable), low, high)  # INVARIANT: `terms` keeps the variables alive
        if key not in terms.bounds:
            if len(terms.bounds) >= KEPT_BOUNDS:
                terms.bounds.clear()
            terms.bounds[key] = (variable == low,) if low == high else (variable >= low, variable <= high)
        return terms.bounds[key]

    def query(self, terms: _Terms, condition: Any) -> bool | None:
        """Whether a condition holds in some state of the box; None if the solver does not know."""
        solver = terms.solver
        solver.push()
        try:
            solver.add(condition)
            self.watch(self.context.interrupt)
            try:
                answer = solver.check()
            finally:
                self.watch(None)
            self.queries += 1
        finally:
            solver.pop()
        return True if answer == self.z3.sat else False if answer == self.z3.unsat else None
