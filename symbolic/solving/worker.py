"""The one thread that a solver's context lives on, its budget, and the watchdog over it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from types import ModuleType
from typing import Any, Final, TypeVar

from symbolic.solving.session import Budget, Session

INTERRUPTS: Final = 50
"""How often the watchdog interrupts, every 10 ms, before it abandons a worker."""

T = TypeVar("T")


class SolverError(RuntimeError):
    """The solver gave no answer at all: absent, stuck, closed or failed."""


class Worker:
    """The thread that owns a session."""

    def __init__(self, budget: Budget, load: Callable[[], ModuleType]) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[Session], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._budget, self._load = budget, load
        self._is_querying: Callable[[], None] | None = None
        self._beats = 0
        self._thread = threading.Thread(target=self._serve, name="symbolic-solver", daemon=True)
        self._thread.start()

    def run(self, job: Callable[[Session], T], watchdog_s: float) -> T:
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

    @property
    def is_alive(self) -> bool:
        """Whether its thread still runs."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End it after the job that it is at."""
        self._jobs.put(None)

    def _serve(self) -> None:
        session: Session | None = None
        while (entry := self._jobs.get()) is not None:
            job, future = entry
            try:
                if session is None or session.queries >= self._budget.recycle_after:
                    session = None
                    session = Session(self._load(), self._budget, self._watch)
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
