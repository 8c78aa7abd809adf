"""The bus that agents speak over, tick by tick; and the one inside this process, which is the default.

    async with LocalBus(run) as bus:
        bus.subscribe("car-1"); bus.subscribe("car-2")
        await bus.publish(envelope)                                   # in tick t
        delivery = await bus.drain(t, {"car-1": 1, "car-2": 0})       # the barrier: seen by deciders in tick t + 1

Every transport passes bytes through the same `Mailbox`, so that a seed gives the same decisions over all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import Protocol, Self

from agents.messaging.envelope import Envelope, encode
from agents.messaging.errors import BusClosedError, BusError, BusTimeoutError
from agents.messaging.mailbox import Delivery, Mailbox

DEADLINE_S = 5.0
"""How long a barrier or a publication waits at most, in seconds of wall-clock time."""


class Bus(Protocol):
    """What every transport does; an asynchronous context manager that starts and stops it."""

    async def start(self) -> None:
        """Make the bus ready.

        Raises:
            BrokerError: there is no broker to be had.
        """

    async def stop(self) -> None:
        """Give everything back; a second call does nothing."""

    def subscribe(self, agent: str, *, hears: Collection[str] | None = None) -> None:
        """Give an agent of this process an inbox, and the right to publish.

        Args:
            agent: its name.
            hears: from whom it receives; all other agents where None.
        """

    async def publish(self, envelope: Envelope) -> None:
        """Send a message to every subscribed agent that hears its sender.

        Raises:
            EnvelopeError: too large, of another run or tick, of a sender without inbox, or an id used before.
            BusClosedError: not started, or stopped.
            BusTimeoutError: nobody acknowledged it before the deadline.
            BusDownError: the link is gone.
        """

    async def drain(self, tick: int, expected: Mapping[str, int]) -> Delivery:
        """The barrier of a tick: wait for all that was announced, then give everything out in one fixed order.

        Ticks are drained one after the other from 0 on, each once. After an error of the barrier the tick is closed
        too, and the error holds what had arrived.

        Args:
            tick: the tick to close.
            expected: sender -> number of its messages in this tick.

        Raises:
            BusClosedError: not started, or stopped.
            BusTimeoutError: something is missing at the deadline.
            BusDownError: the link is gone.
        """

    @property
    def standing(self) -> tuple[Envelope, ...]:
        """The last rules that each sender proposed, by sender; also those from before this bus was started."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class LocalBus:
    """The bus inside one process: deterministic, without socket or copy of the clock."""

    def __init__(self, run: str, *, deadline_s: float = DEADLINE_S) -> None:
        """Prepare a bus.

        Args:
            run: identity of the run.
            deadline_s: how long a barrier waits for publishers in other tasks, in seconds.
        """
        self._mailbox = Mailbox(run)
        self._deadline_s = deadline_s
        self._changed = asyncio.Event()
        self._is_open = False

    async def start(self) -> None:
        self._is_open = True

    async def stop(self) -> None:
        self._is_open = False

    def subscribe(self, agent: str, *, hears: Collection[str] | None = None) -> None:
        self._mailbox.subscribe(agent, hears)

    async def publish(self, envelope: Envelope) -> None:
        self._require_open()
        data = encode(envelope)
        self._mailbox.post(envelope, data)
        self._mailbox.admit(envelope.topic, data)
        self._changed.set()

    async def drain(self, tick: int, expected: Mapping[str, int]) -> Delivery:
        self._require_open()
        require_next(self._mailbox, tick)
        await arrival(self._mailbox, self._changed, tick, expected, deadline_s=self._deadline_s)
        return closed(self._mailbox, tick, expected, deadline_s=self._deadline_s)

    @property
    def standing(self) -> tuple[Envelope, ...]:
        return self._mailbox.standing

    def _require_open(self) -> None:
        if not self._is_open:
            raise BusClosedError("expected a started bus, got a closed one; use it inside `async with`")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def require_next(mailbox: Mailbox, tick: int) -> None:
    """Refuse to drain a tick out of turn."""
    if tick != mailbox.drained + 1:
        raise BusError(f"expected the barrier of tick {mailbox.drained + 1}, got {tick}; drain every tick once")


async def arrival(
    mailbox: Mailbox,
    changed: asyncio.Event,
    tick: int,
    expected: Mapping[str, int],
    *,
    deadline_s: float,
    is_over: Callable[[], bool] = lambda: False,
) -> None:
    """Wait until a tick is complete, waiting is over, or the deadline has passed; `changed` wakes it to look again."""
    try:
        async with asyncio.timeout(deadline_s):
            while not (mailbox.is_complete(tick, expected) or is_over()):
                changed.clear()
                await changed.wait()
    except TimeoutError:
        return  # `closed` says what is missing


def closed(mailbox: Mailbox, tick: int, expected: Mapping[str, int], *, deadline_s: float) -> Delivery:
    """Close a tick and give it out.

    Raises:
        BusTimeoutError: something is missing; with what is there.
    """
    missing = mailbox.missing(tick, expected)
    delivery = mailbox.deliver(tick, expected)
    if missing:
        senders = ", ".join(f"{count} of `{src}`" for src, count in missing.items())
        raise BusTimeoutError(
            f"expected all messages of tick {tick} within {deadline_s:g} s, got all but {senders}", delivery
        )
    return delivery
