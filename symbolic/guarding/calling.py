"""Calling what may never return: threads of its own, a count of those that are stuck, and a clock that is given.

What can be held: a coroutine that never ends, that ignores being cancelled, that raises; a plain function that never
returns (it runs on a thread). What cannot be held from inside the same event loop: a coroutine that blocks the loop
without awaiting; give it to `apart`, which runs it on a thread and a loop of its own. And no thread of a process can
be held against code that keeps the interpreter's lock (a C extension): such a proposer belongs into another process.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Final, Protocol, TypeVar, cast

MAX_STUCK: Final = 64
"""Threads of calls that have not returned, beyond which no new one is started."""

P = TypeVar("P")
T = TypeVar("T")


class StuckError(RuntimeError):
    """Too many calls have not returned."""


class Clock(Protocol):
    """Tells seconds, and waits for what may not come."""

    def now_s(self) -> float:
        """Seconds since some fixed moment; never less than before."""

    async def wait(self, coming: asyncio.Future[Any], timeout_s: float) -> bool:
        """Wait until something came, or the time is over; whether it came."""


class WallClock:
    """The machine's monotonic clock."""

    def now_s(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()

    async def wait(self, coming: asyncio.Future[Any], timeout_s: float) -> bool:
        """See `Clock`."""
        done, _ = await asyncio.wait({coming}, timeout=timeout_s)
        return bool(done)


class SteppedClock:
    """The public test double: its time moves only when it is told, or when nothing comes any more."""

    def __init__(self, *, patience_s: float = 0.05) -> None:
        """`patience_s`: real seconds after which a wait counts as over, and the time jumps to its end."""
        self.time_s = 0.0
        self._patience_s = patience_s

    def now_s(self) -> float:
        """The time that it was told."""
        return self.time_s

    def step(self, seconds: float) -> None:
        """Let time pass; a negative number turns it back."""
        self.time_s += seconds

    async def wait(self, coming: asyncio.Future[Any], timeout_s: float) -> bool:
        """See `Clock`."""
        end_s, start = self.time_s + timeout_s, time.monotonic()
        while not coming.done() and self.time_s < end_s:
            if time.monotonic() - start > self._patience_s:
                self.time_s = end_s
                break
            await asyncio.sleep(0)
        return coming.done() and self.time_s <= end_s


class Countdown:
    """What is left of a deadline; nothing, once the clock went backwards or told no time."""

    __slots__ = ("_clock", "_deadline_s", "_last_s", "_start_s", "is_wrong")

    def __init__(self, clock: Clock, deadline_s: float, start_s: float) -> None:
        self._clock, self._deadline_s = clock, deadline_s
        self._start_s = self._last_s = start_s
        self.is_wrong = not math.isfinite(self._start_s)

    def took_s(self) -> float:
        """Seconds since the start; what was seen last, where the clock is wrong."""
        now_s = self._clock.now_s()
        if self._last_s <= now_s < math.inf:
            self._last_s = now_s
        else:
            self.is_wrong = True
        return self._last_s - self._start_s

    def left_s(self, share: float = 1.0) -> float:
        """Seconds left of a share of the deadline, 0 or more."""
        left_s = share * self._deadline_s - self.took_s()
        return 0.0 if self.is_wrong else max(0.0, left_s)


_running: set[threading.Thread] = set()
_running_lock = threading.Lock()


def in_thread(job: Callable[[], T]) -> Future[T]:
    """Run a job on a daemon thread of its own: the interpreter's pools wait for theirs at exit, stuck or not.

    Raises:
        StuckError: `MAX_STUCK` jobs have not returned.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # from here on nobody else may set it

    def run() -> None:
        try:
            found = job()
        except BaseException as error:  # noqa: BLE001 - the decision: whatever it was, the waiting side judges it
            future.set_exception(error if isinstance(error, Exception) else RuntimeError(f"{type(error).__name__}"))
        else:
            future.set_result(found)
        finally:
            with _running_lock:
                _running.discard(threading.current_thread())

    thread = threading.Thread(target=run, name="symbolic-guard", daemon=True)
    with _running_lock:
        if len(_running) >= MAX_STUCK:
            raise StuckError(f"expected calls that return, got {MAX_STUCK} that do not; restart the process")
        _running.add(thread)
    thread.start()
    return future


def apart(propose: Callable[..., Coroutine[Any, Any, P]]) -> Callable[..., P]:
    """An async proposer as a plain function, which a guard runs on a thread: there it has an event loop of its own.

    For proposers that may block the loop. What it shares with the caller's loop (clients, locks) must not be used.
    """

    def call(*args: object) -> P:
        return asyncio.run(propose(*args))

    return call


async def _awaited(found: Awaitable[T]) -> T:
    return await found


async def called(function: Callable[..., T | Awaitable[T]], *args: object) -> T:
    """Call a plain function on a thread, an async one here; what a plain one returns is awaited, if it can be."""
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        return await cast("Awaitable[T]", function(*args))
    found = await asyncio.wrap_future(in_thread(lambda: function(*args)))
    return await _awaited(found) if inspect.isawaitable(found) else found


def abandon(task: asyncio.Future[Any]) -> None:
    """Cancel what came too late, and never look at what it says; it may ignore that."""
    task.add_done_callback(_forget)
    task.cancel()


def _forget(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()  # read, so that nobody is told of it
