"""The front of a core for many agents at once: questions gather for a moment and go to the core as one batch.

One worker thread owns the core, so the event loop never waits for the device. Read `Queue._serve` first; no torch.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from localist_core.core import Capabilities, Choice, Core, Request
from localist_core.errors import ClosedError, CoreError, DeadlineError, OverloadError, RequestError

PATIENCE = 16
"""Failed calls after which a failing batch is no longer split in search of the request that fails."""


class Clock(Protocol):
    """Where time comes from; seconds since any fixed moment."""

    def now(self) -> float: ...

    async def sleep_until(self, time_s: float) -> None:
        """Return at this time; at once if it has passed."""
        ...


class MonotonicClock:
    """The machine's own clock."""

    def now(self) -> float:
        return time.monotonic()

    async def sleep_until(self, time_s: float) -> None:
        await asyncio.sleep(max(0.0, time_s - self.now()))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Waiting:
    """One question that has been admitted."""

    request: Request
    answer: asyncio.Future[Choice]
    asked_s: float
    """Time of the clock at which it was asked."""
    deadline_s: float
    """Time of the clock after which no answer counts; inf = never."""

    @property
    def rank(self) -> tuple[float, str]:
        """Who goes first: the earliest deadline, of equals the first name."""
        return self.deadline_s, self.request.agent


class Queue:
    """Gathers questions into batches for one core; use it as `async with Queue(core) as queue`.

    A batch goes out as soon as the core is free and all registered agents have asked, or the oldest question has waited
    `max_wait_s`, or `max_batch` questions wait. Nothing here changes an answer: where the core gives a row alone the
    same bits as in a batch, so does the queue, whoever else asks and whenever.
    """

    def __init__(
        self,
        core: Core,
        *,
        agents: Iterable[str] = (),
        max_wait_s: float = 0.003,
        max_batch: int = 64,
        capacity: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Take a core over; nobody else should call it while the queue is open.

        Args:
            core: what answers.
            agents: agents that are waited for; others may ask too.
            max_wait_s: longest time that a question waits for others while the core is free, >= 0.
            max_batch: most questions in one call, >= 1.
            capacity: most questions waiting, not counting those in the core; None = twice `max_batch`.
            clock: None = the machine's own.

        Raises:
            RequestError: a number out of range.
        """
        if not (0.0 <= max_wait_s < math.inf and max_batch >= 1 and (capacity is None or capacity >= 1)):
            raise RequestError(
                f"expected a wait of 0 s or more, a batch and a capacity of 1 or more, "
                f"got `{max_wait_s}`, `{max_batch}` and `{capacity}`"
            )
        self._core = core
        self._agents = set(agents)
        self._max_wait_s = max_wait_s
        self._max_batch = max_batch
        self._capacity = 2 * max_batch if capacity is None else capacity
        self._clock: Clock = MonotonicClock() if clock is None else clock
        self._waiting: dict[str, Waiting] = {}
        self._asked: tuple[Waiting, ...] = ()
        self._is_closed = False
        self._changed = asyncio.Event()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="localist-core")
        self._server: asyncio.Task[None] | None = None

    @property
    def capabilities(self) -> Capabilities:
        """Those of the core."""
        return self._core.capabilities

    def register(self, agent: str) -> None:
        """From now on wait for this agent too."""
        self._agents.add(agent)
        self._changed.set()

    def leave(self, agent: str) -> None:
        """Wait for this agent no more; it may still ask."""
        self._agents.discard(agent)
        self._changed.set()

    async def decide(self, request: Request, *, deadline_s: float | None = None) -> Choice:
        """The core's answer. Cancelling withdraws the question; once in the core, its row counts for nothing.

        Args:
            request: the question; an agent has one open question at a time.
            deadline_s: seconds from now after which no answer counts; None = wait as long as it takes.

        Raises:
            ClosedError: the queue is closed.
            DeadlineError: the deadline passed before, while waiting, or while the core was busy.
            OverloadError: as many questions wait as the queue holds.
            RequestError: the agent has a question open.
            CoreError: the core has no answer to this question.
        """
        waiting = self._admitted(request, math.inf if deadline_s is None else deadline_s)
        self._waiting[request.agent] = waiting
        self._changed.set()
        try:
            return await waiting.answer
        finally:
            if self._waiting.get(request.agent) is waiting:
                del self._waiting[request.agent]
                self._changed.set()

    async def close(self) -> None:
        """Take no more questions, answer those that wait, and let the core go. A second call waits likewise."""
        self._is_closed = True
        self._changed.set()
        if self._server is not None:
            await asyncio.wait([self._server])
            if not self._server.cancelled():
                self._server.result()
        self._worker.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        self._server = asyncio.get_running_loop().create_task(self._serve())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self.close()

    def _admitted(self, request: Request, within_s: float) -> Waiting:
        if self._is_closed or self._server is None:
            raise ClosedError(f"expected an open queue, got a question of agent `{request.agent}` to a closed one")
        if not within_s > 0.0:
            raise DeadlineError(f"expected a deadline in the future, got `{within_s}` s of agent `{request.agent}`")
        if request.agent in self._waiting or any(_is_open(w) and w.request.agent == request.agent for w in self._asked):
            raise RequestError(f"expected one question at a time of agent `{request.agent}`, got a second one")
        if len(self._waiting) >= self._capacity:
            raise OverloadError(f"expected at most {self._capacity} questions waiting, got one more; ask later")
        now = self._clock.now()
        return Waiting(
            request=request,
            answer=asyncio.get_running_loop().create_future(),
            asked_s=now,
            deadline_s=now + within_s,
        )

    async def _serve(self) -> None:
        """Send batches until the queue is closed and empty."""
        call: asyncio.Future[list[Choice | Exception]] | None = None
        try:
            while not (self._is_closed and call is None and not self._waiting):
                self._changed.clear()
                if call is not None and call.done():
                    self._deliver(call)
                    call = None
                self._expire()
                if call is None and self._is_due():
                    call = self._send()
                if call is not None or self._waiting or not self._is_closed:
                    await self._change(is_busy=call is not None)
        finally:  # however it ends, nobody is left waiting
            self._is_closed = True
            for waiting in (*self._waiting.values(), *self._asked):
                if _is_open(waiting):
                    waiting.answer.set_exception(ClosedError("expected an answer, got a queue that has ended"))

    async def _change(self, *, is_busy: bool) -> None:
        """Return when something has been asked, answered or withdrawn, or the next deadline or end of a wait comes."""
        times = [waiting.deadline_s for waiting in (*self._waiting.values(), *self._asked) if _is_open(waiting)]
        if not is_busy:
            times += [waiting.asked_s + self._max_wait_s for waiting in self._waiting.values()]
        tasks: list[asyncio.Future[object]] = [asyncio.ensure_future(self._changed.wait())]
        if times and min(times) < math.inf:
            tasks.append(asyncio.ensure_future(self._clock.sleep_until(min(times))))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    def _is_due(self) -> bool:
        if not self._waiting:
            return False
        oldest = min(waiting.asked_s for waiting in self._waiting.values())
        return (
            self._is_closed
            or len(self._waiting) >= self._max_batch
            or (bool(self._agents) and self._agents <= self._waiting.keys())
            or self._clock.now() >= oldest + self._max_wait_s
        )

    def _send(self) -> asyncio.Future[list[Choice | Exception]]:
        """Give the first of those waiting to the worker."""
        first = sorted(self._waiting.values(), key=lambda waiting: waiting.rank)[: self._max_batch]
        for waiting in first:
            del self._waiting[waiting.request.agent]
        self._asked = tuple(first)
        requests = [waiting.request for waiting in first]
        call = asyncio.get_running_loop().run_in_executor(self._worker, answers, self._core, requests)
        call.add_done_callback(lambda _: self._changed.set())
        return call

    def _deliver(self, call: asyncio.Future[list[Choice | Exception]]) -> None:
        asked, self._asked = self._asked, ()
        self._expire(asked)
        for waiting, answer in zip(asked, call.result(), strict=True):
            if not _is_open(waiting):
                continue
            if isinstance(answer, Exception):
                waiting.answer.set_exception(answer)
            else:
                waiting.answer.set_result(answer)

    def _expire(self, others: Sequence[Waiting] = ()) -> None:
        """Refuse all whose deadline has passed, and forget those that waited."""
        now = self._clock.now()
        for waiting in (*self._waiting.values(), *self._asked, *others):
            if _is_open(waiting) and now >= waiting.deadline_s:
                late_s = now - waiting.asked_s
                waiting.answer.set_exception(
                    DeadlineError(
                        f"expected an answer for agent `{waiting.request.agent}` within "
                        f"{waiting.deadline_s - waiting.asked_s:g} s, got none after {late_s:g} s"
                    )
                )
        self._waiting = {agent: waiting for agent, waiting in self._waiting.items() if _is_open(waiting)}


def answers(core: Core, requests: Sequence[Request]) -> list[Choice | Exception]:
    """What the core answers to each request, or the error of that request.

    A core refuses a batch as a whole for any one of its requests. So a batch that fails is halved until the request
    that fails stands alone; after `PATIENCE` failed calls the error is taken for everyone's.
    """
    failed = 0

    def part(some: Sequence[Request]) -> list[Choice | Exception]:
        nonlocal failed
        try:
            choices = core.decide(some)
            if len(choices) != len(some):
                raise CoreError(f"expected {len(some)} answers of the core, got {len(choices)}")
            return list(choices)
        except Exception as error:  # noqa: BLE001 - in a thread: whoever waits must hear of any failure
            failed += 1
            if len(some) == 1 or failed > PATIENCE:
                return [error] * len(some)
        middle = len(some) // 2
        return part(some[:middle]) + part(some[middle:])

    return part(requests)


def _is_open(waiting: Waiting) -> bool:
    return not waiting.answer.done()
