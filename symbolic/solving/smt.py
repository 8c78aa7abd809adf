"""The solver's reading of rules (the only file that imports Z3): decides open facts, re-decides recorded verdicts.

Everything of Z3 lives on one worker thread with a context of its own. Budgets are counts of solver steps
(`rlimit`), so that answers are reproducible; wall time is only the backstop. Whatever is not a clear answer
(no solver, unknown, time-out, exception) is None, which no caller may read as safe.

Measured (CPU time, ten rules over six fields, one shared core): deciding an exact verdict again 0.5 ms, an
open one some 2 ms; memory grows by 2 MB over 20,000 exact verdicts.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, TypeVar

from symbolic.domain import Action, codes_of
from symbolic.facts import Facts
from symbolic.reading.reference import NO
from symbolic.solving.session import Budget, Clause, Found, Point, Session
from symbolic.solving.worker import SolverError, Worker
from symbolic.verdict import Verdict, truths_of

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

Recorded: TypeAlias = tuple[Facts, Action, Verdict | Sequence[Found]]
"""Facts, action and what was said of each rule then."""

T = TypeVar("T")


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
        self._worker: Worker | None = None
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

        def job(session: Session) -> Point | Literal[False] | None:
            return session.find(session.terms(ruleset), ruleset, clauses, inside)

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

    def _run(self, job: Callable[[Session], T]) -> T:
        """Run a job on the worker; interrupt, then abandon a worker without progress."""
        with self._lock:
            if self._is_closed:
                raise SolverError("expected an open solver, got a closed one; make a new one")
            if self._worker is None:
                self._worker = Worker(self.budget, self._load)
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
    session: Session,
    ruleset: RuleSet[Any, Any],
    spans: Sequence[tuple[int, int]],
    action: Sequence[int],
    claims: Sequence[Found],
) -> bool:
    terms = session.terms(ruleset)
    with session.box(terms, spans, action):
        return session.confirm(terms, claims)
