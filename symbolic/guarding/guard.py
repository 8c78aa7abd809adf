"""The guard: around any callable that proposes actions, always a compliant action or the declared safe stop, in time.

    guard = Guard(rules, Ladder(safe_stop=Drive(manoeuvre="stop")), 0.25)
    done = await guard.act(car, propose)        # propose(facts, feedback) -> action, its fields, or JSON text
    execute(done.action)

Proposals have 80 % of the deadline, searches and open facts 95 %; the safe stop needs none. What can and what cannot be
held against a proposer that blocks stands in `calling.py`.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Final, Generic, TypeAlias, TypeVar

from symbolic.domain import Action, State
from symbolic.facts import Facts
from symbolic.guarding.calling import Clock, Countdown, StuckError, WallClock, abandon, called, in_thread
from symbolic.guarding.climb import Ask, Came, Climb, Reached, Work, climb, undecided
from symbolic.guarding.counts import Counts, Tally
from symbolic.guarding.guarded import Attempt, Fault, FaultKind, Feedback, Guarded, one_line
from symbolic.guarding.ladder import Ladder, Mode, Rung
from symbolic.guarding.proposal import Given, Proposal, Reader
from symbolic.guarding.record import first_record, hash_of, record_of
from symbolic.rules import RuleSet
from symbolic.verdict import Outcome, Verdict

S = TypeVar("S", bound=State)
A = TypeVar("A", bound=Action)

Propose: TypeAlias = Callable[[Facts, "Feedback[A] | None"], "Proposal | Awaitable[Proposal]"]
"""Proposes an action; the feedback is None at first. Async ones run on the caller's loop, plain ones on a thread."""

ASKING: Final = 0.8
"""Share of the deadline that proposals have."""
WORKING: Final = 0.95
"""Share of the deadline that searches and checks of open facts have."""
WRONG: Final = "the clock went backwards, or told no time"


class Guard(Generic[S, A]):
    """Rules, a ladder and a deadline around a proposer; safe to use from any thread."""

    def __init__(
        self,
        rules: RuleSet[S, A] | Callable[[], RuleSet[S, A]],
        ladder: Ladder[A],
        deadline_s: float,
        *,
        mode: Mode = Mode.ENFORCE,
        write: Callable[[str], object] | None = None,
        prev: str = "",
        clock: Clock | None = None,
    ) -> None:
        """Put a guard together.

        Args:
            rules: the rule set, or what gives the one that is live; a decision keeps the one that it started with.
            ladder: which rungs may be used.
            deadline_s: seconds from the call of `act` to its answer.
            mode: whether it acts or only looks on.
            write: keeps a record; if it raises, the safe stop is executed.
            prev: hash of the last record of the log that this one continues.
            clock: tells the time; the machine's where None.
        """
        if not 0.0 < deadline_s < math.inf:
            raise ValueError(f"expected a deadline of more than 0 s, got `{deadline_s}`; give seconds")
        self.ladder, self.deadline_s, self.mode = ladder, deadline_s, mode
        self._is_fixed = isinstance(rules, RuleSet)
        self._live: Callable[[], RuleSet[S, A]] = (lambda: rules) if isinstance(rules, RuleSet) else rules
        self._write, self._clock = write, clock or WallClock()
        self._reader = self._read()
        self._tally, self._lock = Tally(), threading.RLock()  # `write` may look at the counts
        self._head = prev

    @property
    def counts(self) -> Counts:
        """What it did so far."""
        with self._lock:
            return self._tally.counts()

    @property
    def head(self) -> str:
        """Hash of the last record: kept elsewhere, it witnesses the whole log."""
        return self._head

    async def act(self, facts: Given, propose: Propose[A]) -> Guarded[A]:
        """Decide one action; raises nothing but the cancellation of the caller's own task.

        Args:
            facts: what is perceived; facts that are unreadable or stale are those of the safe stop.
            propose: is asked at most `asks` times again.
        """
        time, here = Countdown(self._clock, self.deadline_s, self._clock.now_s()), self._start()
        steps = climb(here, facts)
        try:
            wanted = next(steps)
            while True:
                reply = await self._reply(wanted, here, propose, time)
                wanted = steps.send(reply)
        except StopIteration as end:
            return self._sealed(here, end.value, time)

    def check(self, facts: Given, *proposals: Proposal) -> Guarded[A]:
        """Decide on proposals that are there already, the later ones in place of asking again: the fast path.

        Where facts are open and the solver is needed it blocks the calling thread, until the deadline.
        """
        start_s = self._clock.now_s()
        quick = self._quick(facts, proposals[0], start_s) if proposals else None
        if quick is not None:
            return quick
        time = Countdown(self._clock, self.deadline_s, start_s)
        here = self._start(max(0, len(proposals) - 1))
        steps, coming = climb(here, facts), iter(proposals)
        try:
            wanted = next(steps)
            while True:
                wanted = steps.send(_given(coming) if isinstance(wanted, Ask) else _worked(wanted, time))
        except StopIteration as end:
            return self._sealed(here, end.value, time)

    def _read(self) -> Reader[S, A]:
        """A reader of the rules that are live now.

        Raises:
            RuleError: rules that contradict each other, such as overrides in a circle.
        """
        rules = self._live()
        _ = rules.rules
        return Reader(rules)

    def _start(self, most: int | None = None) -> Climb[A]:
        """A climb over the rules that are live now, whatever becomes live meanwhile."""
        fault = ""
        try:
            if self._live() is not self._reader.rules:
                self._reader = self._read()
        except Exception as error:  # noqa: BLE001 - the decision: without rules there is nothing but the safe stop
            fault = f"{type(error).__name__}: {error}"
        reader, asks = self._reader, self.ladder.asks if most is None else min(most, self.ladder.asks)
        here = Climb(rules=reader.rules, ladder=self.ladder, reader=reader, mode=self.mode, asks=asks)
        if fault:
            here.note(FaultKind.RULES_UNFIT, fault)
        return here

    def _quick(self, given: object, proposal: object, start_s: float) -> Guarded[A] | None:
        """What the climb says of a plain dict and JSON text that comply, in half the time; None of anything else."""
        reader = self._reader
        rules, codes, chosen = reader.rules, reader.states.quick(given), reader.quick(proposal)
        try:
            if codes is None or chosen is None or reader.compiled(codes, chosen) != [] or not self._may_rest_on(reader):
                return None
        except Exception:  # noqa: BLE001 - the decision: the climb meets the same error, and tells of it
            return None
        action = reader.listed.get(chosen)
        if action is None:
            return None
        facts = reader.states.text(codes)
        verdict = Verdict(
            outcome=Outcome.SAFE,
            violations=(),
            undecided=(),
            action=action,
            facts_sha256=hash_of(facts),
            ruleset_sha256=reader.ruleset_sha256,
        )
        with self._lock:
            took_s = self._clock.now_s() - start_s
            if not 0.0 <= took_s <= self.deadline_s:
                return None
            record = first_record(self.mode, verdict, rules.texts[id(action)], facts, self._head)
            fault = self._kept(record)
            if fault:
                return self._unrecorded(self._start(), fault, took_s)
            self._tally.first_tries += 1
        return Guarded(
            action=action,
            enforced=action,
            rung=Rung.PROPOSED,
            mode=self.mode,
            verdict=verdict,
            attempts=(Attempt(action=action, verdict=verdict),),
            faults=(),
            reason="",
            record=record,
            took_s=took_s,
        )

    def _may_rest_on(self, reader: Reader[S, A]) -> bool:
        """Whether the short way may rest on these rules: they are live, fit for it, and the safe stop is theirs."""
        if not reader.is_quick or type(self.ladder.safe_stop) is not reader.rules.action:
            return False
        return self._is_fixed or self._live() is reader.rules

    async def _reply(self, wanted: Ask[A] | Work, here: Climb[A], propose: Propose[A], time: Countdown) -> Came | Fault:
        """What came of a wish within its share of the deadline; what comes later is dropped."""
        is_ask = isinstance(wanted, Ask)
        share = ASKING if is_ask else WORKING
        left_s = time.left_s(share)
        late = Fault(FaultKind.PROPOSER_LATE if is_ask else FaultKind.CHECK_FAILED, "no answer within the deadline")
        if time.is_wrong:
            return Fault(FaultKind.CLOCK_WRONG, WRONG)
        if left_s <= 0.0:
            return late
        facts = here.facts
        assert facts is not None, "nothing is wanted before the facts were read"
        coming: asyncio.Future[Any] = asyncio.ensure_future(
            called(propose, facts, wanted.feedback) if isinstance(wanted, Ask) else called(wanted.job)
        )
        try:
            is_here = await self._clock.wait(coming, left_s)
            # A proposer that blocked the loop is done when the wait ends, but too late all the same.
            return Came(coming.result()) if is_here and time.left_s(share) > 0.0 else late
        except StuckError as error:
            return Fault(FaultKind.PROPOSER_STUCK, one_line(error))
        except asyncio.CancelledError:
            if not coming.cancelled():
                raise  # the caller's task was cancelled, not the proposer
            return Fault(FaultKind.PROPOSER_FAILED, "cancelled itself")
        except Exception as error:  # noqa: BLE001 - the decision: whatever a proposer raises is no proposal
            kind = FaultKind.PROPOSER_FAILED if is_ask else FaultKind.CHECK_FAILED
            return Fault(kind, one_line(f"{type(error).__name__}: {error}"))
        finally:
            if not coming.done():
                abandon(coming)

    def _sealed(self, here: Climb[A], reached: Reached[A], time: Countdown) -> Guarded[A]:
        """Write the decision down and count it."""
        took_s = time.took_s()
        if time.is_wrong and not any(fault.kind is FaultKind.CLOCK_WRONG for fault in here.faults):
            here.note(FaultKind.CLOCK_WRONG, WRONG)
        if took_s > self.deadline_s:
            here.note(FaultKind.DEADLINE_PASSED, f"expected an action within {self.deadline_s} s, took {took_s:.3g} s")
        executed, verdict = _executed(here, reached)
        with self._lock:
            try:
                record = record_of(here, reached, executed, verdict, self._head)
                fault = self._kept(record)
            except Exception as error:  # noqa: BLE001 - the decision: what cannot be written down is not recorded
                fault = f"{type(error).__name__}: {error}"
            if fault:
                return self._unrecorded(here, fault, took_s)
            guarded = _guarded(here, reached, executed, verdict, record, took_s)
            self._tally.add(guarded)
        return guarded

    def _kept(self, record: str) -> str:
        """Write a record, the next link of the chain; why that failed, or nothing."""
        if self._write is not None:
            try:
                self._write(record)
            except Exception as error:  # noqa: BLE001 - the decision: an unrecorded action never acts
                return f"{type(error).__name__}: {error}"
        self._head = hash_of(record)
        return ""

    def _unrecorded(self, here: Climb[A], fault: str, took_s: float) -> Guarded[A]:
        """The safe stop: an unrecorded action never acts. What could not be written is not written again."""
        here.note(FaultKind.RECORD_FAILED, fault)
        here.facts = None
        stop, verdict = self.ladder.safe_stop, undecided(here, self.ladder.safe_stop, "record failed")
        reached = Reached(stop, Rung.SAFE_STOP, verdict, verdict.reason)
        record = record_of(here, reached, stop, verdict, self._head)
        guarded = _guarded(here, reached, stop, verdict, record, took_s)
        self._tally.add(guarded)
        return guarded


def _guarded(
    here: Climb[A], reached: Reached[A], executed: A, verdict: Verdict, record: str, took_s: float
) -> Guarded[A]:
    return Guarded(
        action=executed,
        enforced=reached.action,
        rung=reached.rung,
        mode=here.mode,
        verdict=verdict,
        attempts=tuple(here.attempts),
        faults=tuple(here.faults),
        reason=reached.reason,
        record=record,
        took_s=took_s,
    )


def _executed(here: Climb[A], reached: Reached[A]) -> tuple[A, Verdict]:
    """What is executed, and the verdict on it: what was reached; in shadow mode what was proposed, if anything was."""
    if here.mode is Mode.SHADOW:
        for attempt in here.attempts:
            if attempt.action is not None and attempt.verdict is not None:
                return attempt.action, attempt.verdict
    return reached.action, reached.verdict


def _given(coming: Iterator[Proposal]) -> Came | Fault:
    """The next proposal that is there already."""
    try:
        return Came(next(coming))
    except StopIteration:
        return Fault(FaultKind.PROPOSER_FAILED, "proposed nothing")


def _worked(wanted: Work, time: Countdown) -> Came | Fault:
    """What came of work within its share of the deadline."""
    late = Fault(FaultKind.CHECK_FAILED, "no answer within the deadline")
    left_s = time.left_s(WORKING)
    if left_s <= 0.0:
        return late
    try:
        return Came(in_thread(wanted.job).result(timeout=left_s))
    except FutureTimeout:
        return late
    except Exception as error:  # noqa: BLE001 - the decision: work that fails has found nothing
        return Fault(FaultKind.CHECK_FAILED, one_line(f"{type(error).__name__}: {error}"))
